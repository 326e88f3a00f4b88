"""Small networks with random weights, and random batches for them."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sluice.layers.attention import make_attention
from sluice.layers.char_ngrams import CharNgramEmbedding
from sluice.layers.embedding import LearnedEmbedding, make_embedding
from sluice.layers.heads import make_head
from sluice.layers.ngram_classifier import NgramClassifier
from sluice.models.classifier import TextClassifier
from sluice.models.decoder import Decoder, decoder_input_size
from sluice.models.language import LanguageModel
from sluice.models.pair_classifier import PairClassifier
from sluice.models.seq2seq import Seq2Seq, SpecialIds
from sluice.recurrent import CELLS, RecurrentStack

BUILT_IN_CELLS = sorted(name for name, cell in CELLS.items() if cell.__module__.startswith("sluice."))
WORDS, SIZE, PADDING = 30, 6, 1
BEGIN, END = 2, 3


def randomised(network: nn.Module) -> Any:
    """The network in evaluation mode, with every parameter drawn anew, so that none is zero or one."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=draw))
    return network.eval()


def small_classifier(
    *,
    embedding: str = "learned",
    pooling: str = "max_mean",
    segment: int | None = None,
    padding: str = "right",
    max_n: int | None = None,
    **core: Any,
) -> TextClassifier:
    embedded = make_embedding(embedding, vocab_size=WORDS, size=SIZE, padding_id=PADDING, word_dropout=0.0)
    core = {"hidden_size": 4, **core}
    stack = RecurrentStack(input_size=embedded.output_size, one_hot=embedded.one_hot, **core)
    ngrams = None
    if max_n is not None:
        ngrams = NgramClassifier(vocab_size=WORDS, num_classes=3, max_n=max_n, buckets=50)
        ngrams.ratios.copy_(5 * torch.randn(ngrams.ratios.shape, generator=torch.Generator().manual_seed(1)))
    network = TextClassifier(
        embedding=embedded,
        recurrent=stack,
        num_classes=3,
        pooling=pooling,
        segment_length=segment,
        padding=padding,
        ngrams=ngrams,
    )
    return randomised(network)


def small_language_model(*, head: str = "full", tied: bool = False, **core: Any) -> LanguageModel:
    embedding = LearnedEmbedding(vocab_size=WORDS, size=SIZE, padding_id=PADDING)
    stack = RecurrentStack(input_size=SIZE, **core)
    table: Any = embedding.table.weight if tied else None
    size = SIZE if tied else stack.output_size
    output = make_head(
        head,
        input_size=size,
        vocab_size=WORDS,
        table=table,
        cutoffs=[8, 15] if head == "adaptive" else (),
        excluded=(1,),
    )
    projection = nn.Linear(stack.output_size, SIZE) if tied else None
    return randomised(LanguageModel(embedding=embedding, recurrent=stack, head=output, projection=projection))


def small_seq2seq(
    encoder_cell: str, decoder_cell: str, *, attention: str, bridge: str, feeding: bool, embedding: str = "learned"
) -> Seq2Seq:
    """Two bidirectional encoder layers, and two decoder layers with a residual connection."""
    source = make_embedding(embedding, vocab_size=WORDS, size=5, padding_id=PADDING, word_dropout=0.0)
    encoder = RecurrentStack(
        cell=encoder_cell,
        input_size=source.output_size,
        one_hot=source.one_hot,
        hidden_size=4,
        num_layers=2,
        bidirectional=True,
    )
    attends = make_attention(attention, query_size=8, memory_size=8)
    sizes = {"embedding_size": SIZE, "output_size": SIZE, "memory_size": 8}
    size = decoder_input_size(**sizes, attention=attends is not None, input_feeding=feeding)
    decoder = Decoder(
        embedding=LearnedEmbedding(vocab_size=20, size=SIZE, padding_id=PADDING),
        stack=RecurrentStack(cell=decoder_cell, input_size=size, hidden_size=[8, 8], residual=True),
        attention=attends,
        memory_size=8,
        output_size=SIZE,
        input_feeding=feeding,
    )
    ids = SpecialIds(BEGIN, END, forbidden=(PADDING, BEGIN))
    return randomised(Seq2Seq(source_embedding=source, encoder=encoder, decoder=decoder, ids=ids, bridge=bridge))


def small_pair_classifier(cell: str) -> PairClassifier:
    stack = RecurrentStack(cell=cell, input_size=SIZE, hidden_size=4, bidirectional=True)
    embedding = CharNgramEmbedding(buckets=50, size=SIZE)
    return randomised(PairClassifier(embedding=embedding, recurrent=stack, num_classes=3, size=7))


def random_batches(seed: int, shapes: Sequence[tuple[int, int]] = ()) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of ids (B, T) and lengths (B,), of the given shapes or of four random ones; one of a single token."""
    draw = torch.Generator().manual_seed(seed)

    def integer(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high + 1, shape, generator=draw)

    random_shapes = [(int(integer(1, 9)), int(integer(1, 40))) for _ in range(3)]
    for rows, steps in shapes or [(1, 1), *random_shapes]:
        lengths = integer(1, steps, rows)
        lengths[int(integer(0, rows - 1))] = steps
        yield integer(2, WORDS - 1, rows, steps), lengths
