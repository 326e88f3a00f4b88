"""Classifiers and labellers in ONNX Runtime equal the network for every cell, option, batch size and length."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("onnx", reason="needs the extra export")
pytest.importorskip("onnxruntime", reason="needs the extra export")

from onnx_checks import Session, assert_close, sessions

from sluice.errors import UserError
from sluice.export.onnx_backend import has_operator
from sluice.export.programs import programs_of
from sluice.export.tracer import Tracer
from sluice.layers.embedding import LearnedEmbedding
from sluice.models.classifier import TextClassifier
from sluice.models.regressor import Regressor
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.options import ACTIVATIONS, EMBEDDINGS, POOLINGS
from sluice.recurrent import CELLS, CellOptions, RecurrentStack
from small_networks import (
    BUILT_IN_CELLS,
    SIZE,
    WORDS,
    random_batches,
    randomised,
    small_classifier,
    small_pair_classifier,
)

EACH_CELL = pytest.mark.parametrize("cell", BUILT_IN_CELLS)
EVERYTHING = {"num_layers": 2, "bidirectional": True, "residual": True, "initial_state": "learned"}


def assert_equals_in_runtime(network: TextClassifier, seed: int = 1) -> Session:
    (session,) = sessions(network)
    for ids, lengths in random_batches(seed):
        found, (logits, weights) = session(ids=ids, lengths=lengths), network(ids, lengths)
        assert_close(found["probabilities"], logits.softmax(-1))
        assert ("weights" in found) == (weights is not None)
        if weights is not None:
            assert_close(found["weights"], weights)
    return session


def test_small_classifier_equals_the_network() -> None:
    assert_equals_in_runtime(small_classifier(cell="gru", bidirectional=True))


@pytest.mark.export
@EACH_CELL
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_cells_with_all_stack_options(cell: str, embedding: str) -> None:
    network = small_classifier(cell=cell, embedding=embedding, **EVERYTHING)
    for layer in network.recurrent.cell_list():
        layer.weight_hh.data.mul_(0.5)  # rnn_relu would amplify rounding from step to step
    assert_equals_in_runtime(network)


@pytest.mark.export
@EACH_CELL
def test_unequal_hidden_sizes(cell: str) -> None:
    assert_equals_in_runtime(small_classifier(cell=cell, hidden_size=[5, 3], bidirectional=True, pooling="last"))


@pytest.mark.export
@EACH_CELL
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(cell: str, activation: str) -> None:
    options = CellOptions(**dict.fromkeys(CELLS[cell].default_activations, activation))
    network = small_classifier(cell=cell, options=options)
    network.recurrent.cells[0].weight_hh.data.mul_(0.5)  # unbounded activations would overflow
    assert_equals_in_runtime(network)


@pytest.mark.export
@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_poolings_and_padding_sides(pooling: str, padding: str) -> None:
    assert_equals_in_runtime(small_classifier(cell="lstm", pooling=pooling, padding=padding, bidirectional=True))


@pytest.mark.export
@pytest.mark.parametrize("cell", ["lstm", "rnn_layernorm"])
@pytest.mark.parametrize("pooling", [pooling for pooling in POOLINGS if not pooling.startswith("last")])
def test_segments(cell: str, pooling: str) -> None:
    assert_equals_in_runtime(small_classifier(cell=cell, pooling=pooling, segment=4, bidirectional=True))


@pytest.mark.export
@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("max_n", [1, 2, 3])
def test_classifier_of_ngrams(max_n: int, padding: str) -> None:
    assert_equals_in_runtime(small_classifier(cell="lstm", max_n=max_n, padding=padding))


@pytest.mark.export
@pytest.mark.parametrize(
    ("function", "dtype"),
    [
        (lambda values: values // 2, torch.float32),
        (lambda values: values % 2, torch.float32),
        (lambda values: values & 1, torch.int64),
        (lambda values: F.pad(values, (1, 1), mode="reflect"), torch.float32),
        (lambda values: F.pad(values, (1, 1, 1, 1)), torch.float32),
        (torch.erfinv, torch.float32),
    ],
)
def test_functions_without_an_equivalent_are_refused(function: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    values = Tracer().input("values", (2, 3), torch.ones(2, 3, dtype=dtype))
    with pytest.raises(UserError, match="has no ONNX equivalent here"):
        function(values)


@pytest.mark.export
@EACH_CELL
def test_many_random_sizes(cell: str) -> None:
    network = small_classifier(cell=cell, bidirectional=True)
    (session,) = sessions(network)
    for seed in range(10):
        for ids, lengths in random_batches(seed):
            assert_close(session(ids=ids, lengths=lengths)["probabilities"], network(ids, lengths).logits.softmax(-1))


@pytest.mark.export
@EACH_CELL
def test_realistic_sizes(cell: str) -> None:
    network = small_classifier(cell=cell, hidden_size=96, num_layers=2, bidirectional=True)
    for parameter in network.recurrent.parameters():
        parameter.data.mul_(0.2)  # larger recurrent weights amplify rounding from step to step
    (session,) = sessions(network)
    for ids, lengths in random_batches(3, [(16, 150)]):
        assert_close(session(ids=ids, lengths=lengths)["probabilities"], network(ids, lengths).logits.softmax(-1))


@pytest.mark.export
@EACH_CELL
def test_operators_are_used_where_onnx_has_them(cell: str) -> None:
    from sluice.export.onnx_file import onnx_model

    network = small_classifier(cell=cell)
    (program,) = programs_of(network)
    operators = {node.op_type for node in onnx_model(program).graph.node}
    expected = {"rnn": "RNN", "rnn_relu": "RNN", "gru": "GRU", "gru_reset_before": "GRU"}
    wanted = "Scan" if "layernorm" in cell else expected.get(cell, "LSTM")
    assert {"RNN", "GRU", "LSTM", "Scan"} & operators == {wanted}
    assert has_operator(network.recurrent.cell_list()[0]) == (wanted != "Scan")


@pytest.mark.export
def test_file_holds_each_weight_once() -> None:
    network = small_classifier(cell="lstm", hidden_size=200)
    for parameter in network.recurrent.parameters():
        parameter.data.mul_(0.1)
    session = assert_equals_in_runtime(network)
    weights = 4 * sum(parameter.numel() for parameter in network.parameters())
    assert weights < session.size < weights + 20_000


@pytest.mark.export
@pytest.mark.parametrize("bidirectional", [False, True])
def test_labeller_equals_the_network_and_carries_its_state(bidirectional: bool) -> None:
    embedding = LearnedEmbedding(vocab_size=WORDS, size=SIZE, padding_id=1)
    stack = RecurrentStack(cell="lstm_layernorm", input_size=SIZE, hidden_size=[4, 5], bidirectional=bidirectional)
    network = randomised(SequenceLabeller(embedding=embedding, recurrent=stack, num_outputs=3))
    (session,) = sessions(network)
    for ids, lengths in random_batches(2):
        found = session(ids=ids, lengths=lengths)
        inside = (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).unsqueeze(-1)
        expected = network(ids, lengths)
        assert_close(found["probabilities"] * inside.numpy(), expected.outputs.softmax(-1) * inside)
        if not bidirectional:
            state = {name.removeprefix("next_"): part for name, part in found.items() if name.startswith("next_")}
            again = session(ids=ids, lengths=lengths, **state)
            expected = network(ids, lengths, expected.state)
            assert_close(again["probabilities"] * inside.numpy(), expected.outputs.softmax(-1) * inside)


@pytest.mark.export
@pytest.mark.parametrize("cell", ["gru", "rnn_layernorm"])
def test_features_as_inputs(cell: str) -> None:
    stack = RecurrentStack(cell=cell, input_size=2, hidden_size=4, num_layers=2, bidirectional=True)
    regressor = randomised(Regressor(recurrent=stack, num_outputs=2))
    labeller = randomised(SequenceLabeller(recurrent=stack, num_outputs=2))
    for ids, lengths in random_batches(5):
        features = torch.randn(*ids.shape, 2, generator=torch.Generator().manual_seed(1))
        inside = (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).unsqueeze(-1)
        (found,) = (session(features=features, lengths=lengths) for session in sessions(regressor))
        assert_close(found["values"], regressor(features, lengths))
        (found,) = (session(features=features, lengths=lengths) for session in sessions(labeller))
        assert_close(found["values"] * inside.numpy(), labeller(features, lengths).outputs * inside)


@pytest.mark.export
@pytest.mark.parametrize("cell", ["lstm", "rnn_layernorm"])
def test_pairs_equal_the_network(cell: str) -> None:
    network = small_pair_classifier(cell)
    (session,) = sessions(network)
    draw = torch.Generator().manual_seed(1)
    for pairs, first_steps, second_steps in ((1, 1, 1), (4, 6, 3), (3, 2, 9)):
        counts = torch.randint(0, 5, (11,), generator=draw)
        counts[0] = 0  # a word without n-grams
        flat = torch.randint(0, 50, (int(counts.sum()),), generator=draw)
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        steps = max(first_steps, second_steps)
        index = torch.randint(0, 11, (2 * pairs, steps), generator=draw)
        lengths = torch.cat(
            [torch.randint(1, limit + 1, (pairs,), generator=draw) for limit in (first_steps, second_steps)]
        )
        table = torch.full((11, 5), -1)
        for row, words in enumerate(flat.split(counts.tolist())):
            table[row, : len(words)] = words
        found = session(
            ngrams=table,
            first=index[:pairs, :first_steps],
            first_lengths=lengths[:pairs],
            second=index[pairs:, :second_steps],
            second_lengths=lengths[pairs:],
        )
        assert_close(found["probabilities"], network(flat, offsets, index, lengths).logits.softmax(-1))
