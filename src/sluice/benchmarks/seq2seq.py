"""sluice bench seq2seq: training and decoding speed of translation models."""

import json
from collections.abc import Callable
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sluice.benchmarks.timing import describe_device, median_seconds, start
from sluice.decoding.search import DecodingSettings
from sluice.layers.attention import make_attention
from sluice.layers.embedding import LearnedEmbedding
from sluice.models.decoder import Decoder, decoder_input_size
from sluice.models.seq2seq import Seq2Seq, SpecialIds
from sluice.plain import Plain
from sluice.recurrent import RecurrentStack
from sluice.text.coder import BOS_ID, EOS_ID
from sluice.text.vocab import PADDING_ID

SOURCE_WORDS, TARGET_WORDS = 7_900, 5_900
"""Vocabulary sizes of Multi30k (German, English; lower-cased words that occur at least twice)."""
MEAN_LENGTH, DEVIATION = 13.0, 4.0
"""Mean and standard deviation of the sentence lengths of Multi30k, in words."""


class Sizes(NamedTuple):
    """Architecture of a translation model."""

    name: str
    cell: str
    units: int
    layers: int
    decoder_units: int
    attention: str
    input_feeding: bool


INPUT_FEEDING = Sizes("input feeding, additive", "gru", 256, 1, 256, "additive", True)
CONFIGURATIONS = (Sizes("default", "lstm", 256, 2, 512, "general", False), INPUT_FEEDING)
EMBEDDING = 256


class Pairs(NamedTuple):
    """Random sentence pairs with the lengths of Multi30k."""

    source: Tensor
    source_lengths: Tensor
    target: Tensor
    target_lengths: Tensor


def bench_seq2seq(*, batch_size: int, beam: int, runs: int, device: str, as_json: bool) -> None:
    """Times training steps, including the optimizer, and decoding.

    Args:
        batch_size: number of sentence pairs of a training step, and of sentences decoded together.
        beam: beam size; greedy decoding is timed too.
        runs: number of timed rounds; medians are reported.
        device: "cpu" or "cuda".
        as_json: print one JSON object per row instead of a table.

    Raises:
        UserError: if the device is invalid.
    """
    where = start(device)
    pairs = random_pairs(batch_size, where)
    tokens = int(pairs.target_lengths.sum())
    networks = {sizes.name: translation_model(sizes).to(where) for sizes in CONFIGURATIONS}
    steps: dict[tuple[str, str], Callable[[], None]] = {}
    for name, network in networks.items():
        steps[name, "train"] = training_step(network, pairs)
        for size in (1, beam):
            steps[name, f"beam {size}"] = _decoding_step(network, pairs, size)
    seconds = median_seconds(steps, runs, where)
    rows = [
        {
            "model": name,
            "training tokens/s": tokens / seconds[name, "train"],
            "greedy sentences/s": batch_size / seconds[name, "beam 1"],
            f"beam {beam} sentences/s": batch_size / seconds[name, f"beam {beam}"],
        }
        for name in networks
    ]
    _report(f"{batch_size} sentences, {describe_device(where)}", rows, as_json)


def random_pairs(batch_size: int, device: torch.device) -> Pairs:
    """Random ids in sentences of the lengths of Multi30k."""
    length = max(3, round(MEAN_LENGTH))
    source_lengths = (torch.randn(batch_size) * DEVIATION + MEAN_LENGTH).round().long().clamp(3, 30)
    target_lengths = torch.randint(length - 1, length + 2, (batch_size,))
    source = torch.randint(EOS_ID + 1, SOURCE_WORDS, (batch_size, int(source_lengths.max())))
    target = torch.randint(EOS_ID + 1, TARGET_WORDS, (batch_size, int(target_lengths.max()) + 1))
    target[:, 0] = BOS_ID
    return Pairs(source.to(device), source_lengths, target.to(device), target_lengths)


def translation_model(sizes: Sizes) -> Seq2Seq:
    """Sluice's translation model of the given sizes."""
    encoder = RecurrentStack(
        cell=sizes.cell, input_size=EMBEDDING, hidden_size=sizes.units, num_layers=sizes.layers, bidirectional=True
    )
    memory = encoder.output_size
    shared = {"embedding_size": EMBEDDING, "output_size": EMBEDDING, "memory_size": memory}
    inputs = decoder_input_size(**shared, attention=True, input_feeding=sizes.input_feeding)
    decoder = Decoder(
        embedding=LearnedEmbedding(vocab_size=TARGET_WORDS, size=EMBEDDING, padding_id=PADDING_ID),
        stack=RecurrentStack(cell=sizes.cell, input_size=inputs, hidden_size=sizes.decoder_units),
        attention=make_attention(sizes.attention, query_size=sizes.decoder_units, memory_size=memory),
        memory_size=memory,
        output_size=EMBEDDING,
        input_feeding=sizes.input_feeding,
    )
    source = LearnedEmbedding(vocab_size=SOURCE_WORDS, size=EMBEDDING, padding_id=PADDING_ID)
    return Seq2Seq(
        source_embedding=source, encoder=encoder, decoder=decoder, ids=SpecialIds(BOS_ID, EOS_ID, (PADDING_ID,))
    )


def training_step(network: Seq2Seq, pairs: Pairs) -> Callable[[], None]:
    """A training step with AdamW and a label smoothing of 0.1."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    inputs, labels, lengths = pairs.target[:, :-1], pairs.target[:, 1:], pairs.target_lengths

    def step() -> None:
        optimizer.zero_grad()
        outputs = network(pairs.source, pairs.source_lengths, inputs, lengths)
        loss = network.loss(outputs.features, labels, lengths, smoothing=0.1)
        (loss.smoothed / int(lengths.sum())).backward()
        optimizer.step()

    return step


def _decoding_step(network: Seq2Seq, pairs: Pairs, beam: int) -> Callable[[], None]:
    settings = DecodingSettings(beam=beam, max_length_factor=1.0, max_length_offset=1)

    def step() -> None:
        network.translate(pairs.source, pairs.source_lengths, settings)

    return step


def _report(sizes: str, rows: list[Plain], as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps({"bench": "seq2seq", "sizes": sizes, **row}))
        return
    table = Table(title=f"Translation models: {sizes}", title_justify="left", box=None)
    for heading in rows[0]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:,.0f}" for value in row.values()))
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    console.print("Random words, sentence lengths as in Multi30k; every translation is decoded to its maximum length.")
