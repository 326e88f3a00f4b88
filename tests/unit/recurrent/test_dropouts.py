"""Dropout of hidden units, with one mask for all steps, and of recurrent weights."""

import copy
from io import BytesIO

import pytest
import torch
from recurrent_checks import (
    ALL_CELLS,
    TORCH_CELLS,
    D,
    H,
    make_plan,
    make_stack,
    numbers,
    random_cell,
    random_state,
    randomise,
)
from torch import Tensor

from sluice.recurrent import Cell, CellOptions, HiddenState, RecurrentStack, make_cell
from sluice.recurrent.scan import force_backend, scan

B, T = 5, 6
LENGTHS = [6, 6, 4, 3, 1]
HALF = CellOptions(recurrent_dropout=0.5)
HALF_OF_WEIGHTS = CellOptions(weight_dropout=0.5)
every_cell = pytest.mark.parametrize("name", ALL_CELLS)
both = pytest.mark.parametrize("option", ["recurrent_dropout", "weight_dropout"])
backends = pytest.mark.parametrize("backend", ["fused", "steps"])


def drawn_mask(cell: Cell, batch_size: int = B) -> Tensor:
    mask = cell.recurrence(batch_size).mask
    assert mask is not None
    return mask


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


@both
@pytest.mark.parametrize("probability", [-0.1, 1.0, 1.5, float("nan")])
def test_invalid_probability_is_refused(option: str, probability: float) -> None:
    with pytest.raises(ValueError, match=rf"{option} must lie in \[0, 1\), got {probability}"):
        make_cell("gru", input_size=D, hidden_size=H, options=CellOptions(**{option: probability}))


@both
@every_cell
def test_nothing_is_dropped_in_evaluation(name: str, option: str) -> None:
    cell = random_cell(name, **{option: 0.5}).eval()
    assert cell.recurrence(B).mask is None
    assert cell.recurrence(B).weight is cell.weight_hh


@both
@every_cell
def test_evaluation_equals_a_stack_without_dropout(name: str, option: str) -> None:
    plain, dropping = make_stack(name), make_stack(name, options=CellOptions(**{option: 0.5})).eval()
    inputs, lengths = numbers(B, T, D), torch.tensor(LENGTHS)
    torch.testing.assert_close(dropping(inputs, lengths).outputs, plain(inputs, lengths).outputs, rtol=0, atol=1e-12)


@both
@every_cell
def test_dropout_depends_on_the_seed(name: str, option: str) -> None:
    stack = make_stack(name, options=CellOptions(**{option: 0.5}), bidirectional=True)
    inputs, lengths, outputs = numbers(B, T, D), torch.tensor(LENGTHS), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(stack(inputs, lengths).outputs)
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.allclose(outputs[0], outputs[2])


@both
@every_cell
def test_dropout_does_not_change_the_parameters(name: str, option: str) -> None:
    plain, dropping = make_stack(name), make_stack(name, options=CellOptions(**{option: 0.5}))
    dropping(numbers(B, T, D), torch.tensor(LENGTHS))
    assert list(dropping.state_dict()) == list(plain.state_dict())
    assert all(isinstance(value, torch.nn.Parameter) for value in dict(dropping.named_parameters()).values())


@both
@every_cell
def test_used_stack_can_be_converted_copied_and_saved(name: str, option: str) -> None:
    stack = make_stack(name, options=CellOptions(**{option: 0.5}))
    inputs, lengths = numbers(B, T, D), torch.tensor(LENGTHS)
    stack(inputs, lengths).outputs.sum().backward()
    copied = copy.deepcopy(stack)
    file = BytesIO()
    torch.save(stack.state_dict(), file)
    file.seek(0)
    loaded = make_stack(name, options=CellOptions(**{option: 0.5}))
    randomise(loaded, seed=8)
    loaded.load_state_dict(torch.load(file))
    outputs = []
    for same in (stack, copied, loaded):
        torch.manual_seed(1)
        outputs.append(same(inputs, lengths).outputs)
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    assert stack.to(torch.float32)(inputs.float(), lengths).outputs.dtype == torch.float32


@every_cell
def test_mask_values_are_zero_or_rescaled(name: str) -> None:
    mask = drawn_mask(random_cell(name, recurrent_dropout=0.2), 500)
    assert mask.shape == (500, H)
    assert mask.dtype == torch.float64
    values = torch.tensor([0, 1 / 0.8], dtype=torch.float64)
    torch.testing.assert_close(mask.unique(), values, rtol=1e-12, atol=0)


def test_dropped_fraction_of_units_matches_the_probability() -> None:
    cell = random_cell("rnn", recurrent_dropout=0.2, hidden_size=50)
    mask = drawn_mask(cell, 2000)
    assert (mask == 0).double().mean().item() == pytest.approx(0.2, abs=0.01)
    assert mask.mean().item() == pytest.approx(1, abs=0.01)
    assert (mask.mean(0) - 1).abs().max() < 0.05, "every unit"


def test_masks_differ_between_sequences_and_between_calls() -> None:
    cell = random_cell("rnn", recurrent_dropout=0.5, hidden_size=50)
    mask, next_mask = drawn_mask(cell), drawn_mask(cell)
    assert len(mask.unique(dim=0)) == B
    assert not torch.equal(mask, next_mask)


def test_layers_and_directions_have_different_masks() -> None:
    stack = make_stack("gru", options=HALF, num_layers=2, bidirectional=True)
    torch.manual_seed(1)
    masks = torch.stack([cell.recurrence(20).mask for cell in stack.cells])
    assert len(masks.unique(dim=0)) == 4


@every_cell
def test_recurrent_product_uses_the_masked_units(name: str) -> None:
    recurrent, hidden = random_cell(name, recurrent_dropout=0.5).recurrence(B), numbers(B, H)
    assert recurrent.mask is not None
    expected = (hidden * recurrent.mask) @ recurrent.weight.t()
    torch.testing.assert_close(recurrent(hidden), expected if recurrent.bias is None else expected + recurrent.bias)


@backends
def test_mask_is_constant_over_steps(backend: str) -> None:
    """With h' = m ⊙ h, from ones: a kept unit doubles with every step, a dropped one is zero from the first."""
    cell = random_cell("rnn", recurrent_dropout=0.5, activation="identity", hidden_size=20)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.weight_hh.copy_(torch.eye(20))
    start = HiddenState(torch.ones(B, 20, dtype=torch.float64))
    recurrent = cell.recurrence(B)
    with force_backend(backend):
        outputs = scan(cell, numbers(T, B, D), start, make_plan(LENGTHS), recurrent).outputs
    assert recurrent.mask is not None
    for row, length in enumerate(LENGTHS):
        powers = 2.0 ** torch.arange(1, length + 1, dtype=torch.float64).unsqueeze(-1)
        torch.testing.assert_close(outputs[:length, row], powers * (recurrent.mask[row] > 0))


@backends
@every_cell
def test_dropped_units_get_no_gradient_at_any_step(name: str, backend: str) -> None:
    """A column of the recurrent weights has a gradient unless its unit was dropped at every step."""
    size = 12
    cell = random_cell(name, recurrent_dropout=0.5, hidden_size=size)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.abs_()  # keeps all ReLUs active
    recurrent = cell.recurrence(1)
    start = cell.state_type(*(numbers(1, size).abs() for _ in cell.state_type._fields))
    with force_backend(backend):
        outputs = scan(cell, numbers(T, 1, D).abs(), start, make_plan([T]), recurrent).outputs
    (grad,) = torch.autograd.grad((outputs * numbers(T, 1, size)).sum(), cell.weight_hh)
    assert recurrent.mask is not None
    assert torch.equal(grad.abs().sum(0) == 0, recurrent.mask[0] == 0)


@every_cell
def test_dropped_units_keep_their_state(name: str) -> None:
    """With almost all units dropped, the initial state still affects the outputs through the gates."""
    stack = make_stack(name, options=CellOptions(recurrent_dropout=0.999))
    inputs, lengths, outputs = numbers(B, 1, D), torch.ones(B, dtype=torch.int64), []
    state = random_state(stack, B)
    for start in (state, stack.make_initial_state(B)):
        torch.manual_seed(1)
        outputs.append(stack(inputs, lengths, start).outputs)
    carried = not torch.allclose(outputs[0], outputs[1])
    assert carried == (stack.state_type is not HiddenState or name.startswith("gru"))


@every_cell
def test_dropped_weights_are_zero_and_kept_ones_rescaled(name: str) -> None:
    cell = random_cell(name, weight_dropout=0.2)
    weight = cell.recurrence(B).weight
    kept = weight != 0
    assert 0 < kept.sum() < weight.numel()
    torch.testing.assert_close(weight[kept], (cell.weight_hh / 0.8)[kept])


def test_dropped_fraction_of_weights_matches_the_probability() -> None:
    cell = random_cell("lstm", weight_dropout=0.3, hidden_size=100)
    assert (cell.recurrence(1).weight == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)


def test_mean_of_dropped_weights_is_the_weight() -> None:
    cell = random_cell("gru", weight_dropout=0.5)
    mean = torch.stack([cell.recurrence(1).weight for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, cell.weight_hh, rtol=0.1, atol=0)  # 5 deviations


def test_weight_dropout_is_redrawn_in_every_call() -> None:
    stack = make_stack("lstm", options=HALF_OF_WEIGHTS)
    inputs, lengths = numbers(B, T, D), torch.tensor(LENGTHS)
    assert not torch.allclose(stack(inputs, lengths).outputs, stack(inputs, lengths).outputs)


def test_weight_dropout_is_equal_for_all_sequences_and_steps() -> None:
    """Equal sequences give equal outputs, and each output equals `step` with the same weights."""
    cell = random_cell("gru", weight_dropout=0.5)
    inputs = numbers(T, 1, D).expand(T, B, D)
    recurrent = cell.recurrence(B)
    outputs = scan(cell, inputs, HiddenState(inputs.new_zeros(B, H)), make_plan([T] * B), recurrent).outputs
    torch.testing.assert_close(outputs, outputs[:, :1].expand(T, B, H))
    state = HiddenState(inputs.new_zeros(B, H))
    for step in range(T):
        state, _ = cell.step(cell.project(inputs[step]), state, recurrent)
        torch.testing.assert_close(outputs[step], state.hidden)


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        *((name, backend) for name in ALL_CELLS for backend in ("fused", "steps")),
        *((name, "kernel") for name in TORCH_CELLS),
    ],
)
def test_only_kept_weights_get_gradients(name: str, backend: str) -> None:
    cell = random_cell(name, weight_dropout=0.2)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.abs_()  # keeps all ReLUs active
    recurrent = cell.recurrence(B)
    start = cell.state_type(*(numbers(B, H).abs() for _ in cell.state_type._fields))
    with force_backend(backend):
        outputs = scan(cell, numbers(T, B, D).abs(), start, make_plan([T] * B), recurrent).outputs
    (grad,) = torch.autograd.grad((outputs * numbers(T, B, H)).sum(), cell.weight_hh)
    assert torch.equal(grad != 0, recurrent.weight != 0)


@every_cell
def test_both_dropouts_can_be_combined(name: str) -> None:
    options = CellOptions(recurrent_dropout=0.3, weight_dropout=0.3)
    stack: RecurrentStack = make_stack(name, options=options, num_layers=2, bidirectional=True, dropout=0.3)
    stack(numbers(B, T, D), torch.tensor(LENGTHS)).outputs.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in stack.parameters())


@pytest.mark.parametrize("batch_first", [False, True])
def test_variational_dropout_between_layers_has_one_mask(batch_first: bool) -> None:
    torch.manual_seed(0)
    stack = RecurrentStack(cell="gru", input_size=3, hidden_size=50, num_layers=2, dropout=0.5, variational=True)
    ones = torch.ones(4, 7, 50) if batch_first else torch.ones(7, 4, 50)
    dropped = stack._dropped(ones, batch_first)
    by_sequence = dropped if batch_first else dropped.transpose(0, 1)
    assert torch.equal(by_sequence, by_sequence[:, :1].expand(-1, 7, -1))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(by_sequence[0, 0], by_sequence[1, 0])
    assert torch.equal(stack.eval()._dropped(ones, batch_first), ones)
