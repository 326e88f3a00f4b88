"""Small Seq2Seq networks and batches for tests."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sluice.layers.attention import make_attention
from sluice.layers.embedding import LearnedEmbedding
from sluice.models.decoder import Decoder, decoder_input_size
from sluice.models.seq2seq import Seq2Seq, SpecialIds
from sluice.recurrent import CellOptions, RecurrentStack

SOURCE_WORDS, TARGET_WORDS, PADDING, BEGIN, END = 13, 11, 1, 2, 3


def make_seq2seq(
    *,
    cell: str = "gru",
    attention: str = "general",
    input_feeding: bool = False,
    bridge: str = "learned",
    tie_weights: str = "output",
    layers: int = 2,
    embedding_size: int = 6,
    hidden_size: int = 4,
    encoder_sizes: Sequence[int] | None = None,
    output_size: int = 6,
    source_words: int = SOURCE_WORDS,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
) -> Seq2Seq:
    """A float64 network; encoder with `encoder_sizes` or `hidden_size` per direction, decoder with twice that."""
    torch.manual_seed(0)
    options = CellOptions(recurrent_dropout=recurrent_dropout)
    shared: dict[str, Any] = {"cell": cell, "options": options}
    sizes_of_encoder = encoder_sizes or [hidden_size] * layers
    encoder = RecurrentStack(input_size=embedding_size, hidden_size=sizes_of_encoder, bidirectional=True, **shared)
    memory_size = encoder.output_size
    attention_layer = make_attention(attention, query_size=2 * hidden_size, memory_size=memory_size)
    sizes = {"embedding_size": embedding_size, "output_size": output_size, "memory_size": memory_size}
    input_size = decoder_input_size(**sizes, attention=attention_layer is not None, input_feeding=input_feeding)
    decoder = Decoder(
        embedding=LearnedEmbedding(vocab_size=TARGET_WORDS, size=embedding_size, padding_id=PADDING),
        stack=RecurrentStack(input_size=input_size, hidden_size=2 * hidden_size, num_layers=layers, **shared),
        attention=attention_layer,
        memory_size=memory_size,
        output_size=output_size,
        input_feeding=input_feeding,
        input_dropout=dropout,
        hidden_dropout=dropout,
        output_dropout=dropout,
    )
    network = Seq2Seq(
        source_embedding=LearnedEmbedding(vocab_size=source_words, size=embedding_size, padding_id=PADDING),
        encoder=encoder,
        decoder=decoder,
        ids=SpecialIds(BEGIN, END, (PADDING, BEGIN)),
        bridge=bridge,
        tie_weights=tie_weights,
        input_dropout=dropout,
        memory_dropout=dropout,
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return network.double()


def random_pairs(source_lengths: list[int], target_lengths: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Padded sources, their lengths, padded inputs and labels, and their lengths."""
    draw = torch.Generator().manual_seed(len(source_lengths))

    def padded(lengths: list[int], words: int) -> Tensor:
        ids = torch.randint(4, words, (len(lengths), max(lengths)), generator=draw)
        return ids.masked_fill(torch.arange(max(lengths)) >= torch.tensor(lengths).unsqueeze(1), PADDING)

    labels = padded(target_lengths, TARGET_WORDS)
    inputs = torch.cat([torch.full((len(labels), 1), BEGIN), labels[:, :-1]], 1)
    return (
        padded(source_lengths, SOURCE_WORDS),
        torch.tensor(source_lengths),
        inputs,
        labels,
        torch.tensor(target_lengths),
    )
