"""SequenceLabeller and Regressor: gradients, independence of the batch, carried state, dropout."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.layers.embedding import make_embedding
from sluice.models.regressor import Regressor
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.recurrent import CELLS, RecurrentStack

WORDS, OUTPUTS, FEATURES = 9, 3, 4
INPUTS = ["learned", "onehot", "index", "features"]
LENGTHS = torch.tensor([3, 7, 1, 5])
every_cell = pytest.mark.parametrize("cell", sorted(CELLS))
every_input = pytest.mark.parametrize("kind", INPUTS)


def make_labeller(
    *, kind: str = "learned", cell: str = "lstm", bidirectional: bool = True, **options: float
) -> SequenceLabeller:
    torch.manual_seed(1)
    words = None
    if kind != "features":
        words = make_embedding(kind, vocab_size=WORDS, size=5, padding_id=0, word_dropout=0.0)
    stack = RecurrentStack(
        cell=cell,
        input_size=FEATURES if words is None else words.output_size,
        hidden_size=6,
        num_layers=2,
        bidirectional=bidirectional,
        one_hot=words is not None and words.one_hot,
    )
    settings = {"num_outputs": OUTPUTS, **options}
    return SequenceLabeller(embedding=words, recurrent=stack, **settings)  # type: ignore[arg-type]


def make_regressor(*, cell: str = "lstm", bidirectional: bool = True, **options: float) -> Regressor:
    torch.manual_seed(1)
    stack = RecurrentStack(
        cell=cell,
        input_size=FEATURES,
        hidden_size=6,
        num_layers=2,
        bidirectional=bidirectional,
        initial_state="learned",
    )
    return Regressor(recurrent=stack, **options)  # type: ignore[arg-type]


def inputs_of(kind: str, steps: int = 9) -> Tensor:
    """Random inputs, also beyond the lengths."""
    draw = torch.Generator().manual_seed(5)
    if kind == "features":
        return torch.randn(len(LENGTHS), steps, FEATURES, generator=draw)
    return torch.randint(1, WORDS, (len(LENGTHS), steps), generator=draw)


def without_gradient(network: nn.Module) -> list[str]:
    return [name for name, own in network.named_parameters() if own.grad is None or not own.grad.any()]


@every_cell
@every_input
def test_every_labeller_parameter_gets_a_gradient(cell: str, kind: str) -> None:
    labeller = make_labeller(cell=cell, kind=kind)
    outputs = labeller(inputs_of(kind), LENGTHS).outputs
    assert outputs.shape == (4, 9, OUTPUTS)
    inside = torch.arange(9) < LENGTHS.unsqueeze(1)
    F.cross_entropy(outputs[inside], torch.arange(16) % OUTPUTS).backward()
    assert without_gradient(labeller) == []


@every_cell
def test_every_regressor_parameter_gets_a_gradient(cell: str) -> None:
    regressor = make_regressor(cell=cell, num_outputs=2)
    values = regressor(inputs_of("features"), LENGTHS)
    assert values.shape == (4, 2)
    values.square().sum().backward()
    assert without_gradient(regressor) == []


@every_cell
@every_input
@pytest.mark.parametrize("bidirectional", [False, True])
def test_labeller_output_does_not_depend_on_the_batch(cell: str, kind: str, bidirectional: bool) -> None:
    labeller, inputs = make_labeller(cell=cell, kind=kind, bidirectional=bidirectional), inputs_of(kind)
    batch = labeller(inputs, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = labeller(inputs[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(batch.outputs[row, :length], alone.outputs[0], atol=1e-5, rtol=1e-5)
        for together, own in zip(batch.state, alone.state, strict=True):
            torch.testing.assert_close(together[:, row], own[:, 0], atol=1e-5, rtol=1e-5)


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_single_regression_equals_itself_in_a_batch(cell: str, bidirectional: bool) -> None:
    regressor, inputs = make_regressor(cell=cell, bidirectional=bidirectional), inputs_of("features")
    batch = regressor(inputs, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = regressor(inputs[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(batch[row], alone[0], atol=1e-5, rtol=1e-5)


def test_regressor_uses_the_last_step_in_both_directions() -> None:
    regressor, inputs = make_regressor(), inputs_of("features")
    forward, backward = regressor.recurrent(inputs, LENGTHS).outputs.chunk(2, -1)
    last = torch.cat([forward[torch.arange(4), LENGTHS - 1], backward[:, 0]], -1)
    torch.testing.assert_close(regressor(inputs, LENGTHS), regressor.output(last))


@every_cell
@every_input
def test_chunks_with_carried_state_equal_one_pass(cell: str, kind: str) -> None:
    labeller, inputs = make_labeller(cell=cell, kind=kind, bidirectional=False), inputs_of(kind)
    whole = labeller(inputs, torch.full((4,), 9))
    outputs, state = [], None
    for start, end in ((0, 4), (4, 5), (5, 9)):
        piece, state = labeller(inputs[:, start:end], torch.full((4,), end - start), state)
        outputs.append(piece)
    torch.testing.assert_close(torch.cat(outputs, 1), whole.outputs, atol=1e-5, rtol=1e-5)
    for carried, own in zip(state, whole.state, strict=True):
        torch.testing.assert_close(carried, own, atol=1e-5, rtol=1e-5)


def test_state_is_refused_by_bidirectional_stacks() -> None:
    labeller = make_labeller()
    state = labeller(inputs_of("learned"), LENGTHS).state
    with pytest.raises(ValueError, match=r"cannot carry its state over: set model\.bidirectional=false"):
        labeller(inputs_of("learned"), LENGTHS, state)


@pytest.mark.parametrize("kind", ["learned", "features"])
@pytest.mark.parametrize("name", ["input_dropout", "output_dropout"])
def test_dropout_is_applied_in_training_only(kind: str, name: str) -> None:
    dropping, plain, inputs = make_labeller(kind=kind, **{name: 0.5}), make_labeller(kind=kind), inputs_of(kind)
    expected = plain(inputs, LENGTHS).outputs
    torch.testing.assert_close(dropping.eval()(inputs, LENGTHS).outputs, expected)
    assert not torch.allclose(dropping.train()(inputs, LENGTHS).outputs, expected)


def test_regressor_dropout_is_applied_in_training_only() -> None:
    dropping, plain, inputs = make_regressor(output_dropout=0.5), make_regressor(), inputs_of("features")
    torch.testing.assert_close(dropping.eval()(inputs, LENGTHS), plain(inputs, LENGTHS))
    assert not torch.allclose(dropping.train()(inputs, LENGTHS), plain(inputs, LENGTHS))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("learned", ("embedding.table.weight",)),
        ("onehot", ("recurrent.cells.0.weight_ih", "recurrent.cells.1.weight_ih")),
        ("index", ()),
        ("features", ()),
    ],
)
def test_word_parameters_are_those_with_one_row_per_word(kind: str, names: tuple[str, ...]) -> None:
    labeller = make_labeller(kind=kind)
    assert labeller.word_parameters == names
    assert all(dict(labeller.named_parameters())[name].shape[0] == WORDS for name in names)


@pytest.mark.parametrize("make", [make_labeller, make_regressor])
def test_invalid_arguments_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match="num_outputs must be at least 1, got 0"):
        make(num_outputs=0)  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"\[0, 1\), got 1\.5"):
        make(output_dropout=1.5)  # type: ignore[operator]
