"""Embeddings, dropout, pooling, attention and output layers."""

from sluice.layers.attention import (
    AdditiveAttention,
    Attention,
    AttentionOutput,
    DotAttention,
    GeneralAttention,
    Memory,
    make_attention,
)
from sluice.layers.char_ngrams import CharNgramEmbedding
from sluice.layers.dropout import VariationalDropout
from sluice.layers.embedding import Embedding, IndexEmbedding, LearnedEmbedding, OneHotEmbedding, make_embedding
from sluice.layers.heads import AdaptiveHead, FullHead, Head, make_head
from sluice.layers.output_loss import IGNORED, OutputLoss, linear_cross_entropy
from sluice.layers.padding import move_padding
from sluice.layers.pooling import (
    AttentionPooling,
    ConcatPooling,
    LastPooling,
    MaxPooling,
    MeanPooling,
    Pooling,
    PoolingOutput,
    make_pooling,
    step_mask,
)

__all__ = [
    "IGNORED",
    "AdaptiveHead",
    "AdditiveAttention",
    "Attention",
    "AttentionOutput",
    "AttentionPooling",
    "CharNgramEmbedding",
    "ConcatPooling",
    "DotAttention",
    "Embedding",
    "FullHead",
    "GeneralAttention",
    "Head",
    "IndexEmbedding",
    "LastPooling",
    "LearnedEmbedding",
    "MaxPooling",
    "MeanPooling",
    "Memory",
    "OneHotEmbedding",
    "OutputLoss",
    "Pooling",
    "PoolingOutput",
    "VariationalDropout",
    "linear_cross_entropy",
    "make_attention",
    "make_embedding",
    "make_head",
    "make_pooling",
    "move_padding",
    "step_mask",
]
