"""The fused run of a decoder with input feeding equals the loop over its steps."""

from typing import Any

import pytest
import torch
from seq2seq_checks import make_seq2seq, random_pairs
from torch import Tensor

from sluice.layers.attention import AdditiveAttention
from sluice.layers.native_attention import attend_rows, attention_kernel
from sluice.models import decoder as decoder_module
from sluice.models.seq2seq import Seq2Seq
from sluice.recurrent import CELLS
from sluice.recurrent.cells import Cell
from sluice.recurrent.fused.native import kernels
from sluice.recurrent.scan import force_backend
from sluice.recurrent.states import state_tensors

FUSED_CELLS = sorted(
    name
    for name, cell in CELLS.items()
    if cell.__module__.startswith("sluice.") and cell.project is Cell.project  # others normalise the whole projection
)
KINDS = ("dot", "scaled_dot", "general", "additive")
PAIRS = random_pairs([5, 2, 4], [6, 3, 4])
pytestmark = pytest.mark.skipif(kernels(torch.zeros(1)) is None, reason="no C compiler here")


def outputs_and_gradients(network: Seq2Seq, pairs: tuple[Tensor, ...]) -> list[Tensor]:
    """Features, weights, and the gradients of a function of both, with the same random numbers in each call."""
    source, source_lengths, inputs, _, lengths = pairs
    torch.manual_seed(3)
    made = network(source, source_lengths, inputs, lengths)
    assert made.weights is not None
    parameters = [parameter for name, parameter in network.named_parameters() if not name.startswith("output.")]
    total = (made.features**3).sum() + (made.weights**2).sum()
    return [made.features, made.weights, *torch.autograd.grad(total, parameters)]


def assert_equals_the_loop(
    network: Seq2Seq, monkeypatch: pytest.MonkeyPatch, pairs: tuple[Tensor, ...] = PAIRS, **tolerance: float
) -> None:
    calls = []
    fused = decoder_module.run_feeding
    monkeypatch.setattr(decoder_module, "run_feeding", lambda *given: calls.append(1) or fused(*given))
    found = outputs_and_gradients(network, pairs)
    assert calls
    with force_backend("steps"):
        expected = outputs_and_gradients(network, pairs)
    assert len(calls) == 1
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


@pytest.mark.parametrize("attention", KINDS)
@pytest.mark.parametrize("cell", FUSED_CELLS)
def test_every_cell_and_attention(cell: str, attention: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_equals_the_loop(make_seq2seq(cell=cell, attention=attention, input_feeding=True), monkeypatch)


@pytest.mark.parametrize("options", [{"layers": 1}, {"layers": 3}, {"dropout": 0.4, "recurrent_dropout": 0.3}], ids=str)
def test_layers_and_dropout(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert_equals_the_loop(make_seq2seq(attention="additive", input_feeding=True, **options), monkeypatch)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("variational", [False, True])
def test_dropout_between_layers(variational: bool, residual: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_seq2seq(cell="lstm", input_feeding=True, layers=3)
    stack = network.decoder.stack
    stack.dropout.p, stack.variational, stack.residual = 0.4, variational, residual
    assert_equals_the_loop(network, monkeypatch)


@pytest.mark.parametrize(("sentences", "words"), [(1, 3), (20, 1)])
def test_single_sentences_and_words(sentences: int, words: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = random_pairs([4] * sentences, [words] * sentences)
    assert_equals_the_loop(make_seq2seq(cell="lstm", input_feeding=True), monkeypatch, pairs)


def test_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_seq2seq(attention="additive", input_feeding=True, hidden_size=20, output_size=9, tie_weights="none")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    assert_equals_the_loop(network.float(), monkeypatch, rtol=1e-4, atol=1e-5)


def test_gradcheck() -> None:
    network = make_seq2seq(attention="additive", input_feeding=True, layers=2, hidden_size=2)
    source, source_lengths, inputs, _, lengths = PAIRS
    state = network.encode(source, source_lengths)
    assert state.memory is not None
    memory = state.memory

    def features(values: Tensor, keys: Tensor, hidden: Tensor, feed: Tensor) -> tuple[Tensor, Tensor | None]:
        cells = state.cells._replace(hidden=hidden)
        given = state._replace(cells=cells, feed=feed, memory=memory._replace(values=values, keys=keys))
        return tuple(network.decoder(inputs, lengths, given))

    given = (memory.values, memory.keys, state.cells.hidden, torch.randn_like(state.feed))
    assert torch.autograd.gradcheck(features, [part.detach().requires_grad_() for part in given])


def test_second_derivatives_are_refused() -> None:
    network = make_seq2seq(input_feeding=True)
    source, source_lengths, inputs, _, lengths = PAIRS
    total = network(source, source_lengths, inputs, lengths).features.sum()
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        torch.autograd.grad(total, network.decoder.combine.weight, create_graph=True)


def test_the_loop_where_nothing_is_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the fused run was used")

    monkeypatch.setattr(decoder_module, "run_feeding", refuse)
    source, source_lengths, inputs, _, lengths = PAIRS

    class Louder(AdditiveAttention):
        def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
            return 2 * super().scores(queries, keys)

    network = make_seq2seq(attention="additive", input_feeding=True).float()
    make_seq2seq(attention="none", input_feeding=True)(source, source_lengths, inputs, lengths)
    network.decoder.attention = Louder(8, 8, 8)
    network(source, source_lengths, inputs, lengths)
    monkeypatch.setenv("SLUICE_NATIVE", "0")
    make_seq2seq(attention="additive", input_feeding=True)(source, source_lengths, inputs, lengths)


@pytest.mark.parametrize("attention", ["additive", "none"])
def test_steps_under_autocast_run_in_the_dtype_of_the_weights(attention: str) -> None:
    source, source_lengths, inputs, _, lengths = PAIRS
    network = make_seq2seq(attention=attention, input_feeding=True).float()
    state = network.encode(source, source_lengths)
    expected = network.decoder(inputs, lengths, state).features
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = state.to(torch.bfloat16)
        unrolled = network.decoder(inputs, lengths, rounded).features
        features, _, after = network.decoder.step(inputs[:, 0], rounded)
        sampled = network.decoder.forward_sampled(inputs, rounded, lambda given: given.argmax(1), 0.0).features
    torch.testing.assert_close(unrolled, expected, rtol=0.02, atol=0.02)
    torch.testing.assert_close(sampled, expected, rtol=0.02, atol=0.02)
    torch.testing.assert_close(features, expected[:, 0], rtol=0.02, atol=0.02)
    assert {part.dtype for part in (features, unrolled, sampled, *state_tensors(after.cells))} == {torch.float32}


@pytest.mark.parametrize("attention", KINDS)
def test_rows_that_share_a_sentence(attention: str) -> None:
    network = make_seq2seq(attention=attention)
    state = network.encode(*PAIRS[:2])
    layer, memory = network.decoder.attention, state.memory
    assert layer is not None
    assert memory is not None
    queries, sequences = torch.randn(8, 5, dtype=torch.float64).t(), torch.tensor([2, 0, 0, 1, 2])  # any strides
    assert (attention_kernel(layer, memory) is None) == (kernels(queries) is None)
    with torch.no_grad():
        context, weights = attend_rows(layer, queries, memory, sequences)
        expected = layer(queries.unsqueeze(1), memory.select(sequences))
    torch.testing.assert_close(context, expected.context.squeeze(1))
    torch.testing.assert_close(weights, expected.weights.squeeze(1))


@pytest.mark.parametrize("attention", ["general", "dot"])
@pytest.mark.parametrize("units", [4, 12])
def test_queries_of_another_size_are_refused(attention: str, units: int) -> None:
    """The kernel would read other memory."""
    network = make_seq2seq(attention=attention)
    state = network.encode(*PAIRS[:2])
    layer, memory = network.decoder.attention, state.memory
    assert layer is not None
    assert memory is not None
    queries = torch.randn(len(memory.keys), units, dtype=torch.float64)
    with torch.no_grad(), pytest.raises((ValueError, RuntimeError), match=f"queries of {units} units cannot|size of"):
        attend_rows(layer, queries, memory, None)
