"""A one-hot batch given by ids equals the materialised batch."""

import pytest
import torch
from recurrent_checks import ALL_CELLS, H, assert_all_close, gradients, make_stack, numbers, one_hot_batch, random_state

from sluice.recurrent import OneHot, RecurrentStack

WORDS = 7
BELOW = "cells.{}.weight_ih"
"""Names of the first layer's input weights, the only transposed ones."""


def equal_stacks(cell: str, bidirectional: bool) -> tuple[RecurrentStack, RecurrentStack]:
    """A stack on one-hot rows and one on features, with the same weights."""
    options = {"input_size": WORDS, "num_layers": 2, "bidirectional": bidirectional, "initial_state": "learned"}
    looked_up, dense = make_stack(cell, one_hot=True, **options), make_stack(cell, **options)
    dense.load_state_dict(transpose_input_weights(looked_up.state_dict(), looked_up.directions))
    return looked_up, dense


def transpose_input_weights(named: dict[str, torch.Tensor], directions: int) -> dict[str, torch.Tensor]:
    below = {BELOW.format(direction) for direction in range(directions)}
    return {name: tensor.t() if name in below else tensor for name, tensor in named.items()}


@pytest.mark.parametrize("cell", ALL_CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_one_hot_input_equals_materialised_rows(cell: str, bidirectional: bool, scaled: bool) -> None:
    looked_up, dense = equal_stacks(cell, bidirectional)
    batch = one_hot_batch(4, 6, WORDS, scaled=scaled)
    lengths = torch.tensor([3, 6, 1, 3])
    state = random_state(looked_up, 4)
    outputs, final = looked_up(batch, lengths, state)
    expected, expected_final = dense(batch.materialise().double(), lengths, state)
    ours, theirs = (outputs, *final), (expected, *expected_final)
    assert_all_close(ours, theirs)

    of_ours = gradients(ours, [*state, *looked_up.parameters()])
    of_theirs = gradients(theirs, [*state, *dense.parameters()])
    fields = len(state)
    assert_all_close(of_ours[:fields], of_theirs[:fields])
    names = dict(looked_up.named_parameters())
    turned = transpose_input_weights(dict(zip(names, of_ours[fields:], strict=True)), looked_up.directions)
    assert_all_close(turned.values(), of_theirs[fields:])


def test_ids_in_the_padding_have_no_influence() -> None:
    stack = make_stack("lstm", input_size=WORDS, one_hot=True, bidirectional=True)
    lengths, batch = torch.tensor([2, 4]), one_hot_batch(2, 5, WORDS)
    padding = torch.arange(5) >= lengths.unsqueeze(1)
    other = OneHot(torch.where(padding, (batch.ids + 1) % WORDS, batch.ids), WORDS)
    results, expected = [(run.outputs, *run.state) for run in (stack(other, lengths), stack(batch, lengths))]
    assert_all_close(results, expected)
    assert_all_close(gradients(results, stack.parameters()), gradients(expected, stack.parameters()))


def test_materialised_rows_hold_the_scale_at_the_id() -> None:
    rows = OneHot(torch.tensor([[2, 0]]), 3, torch.tensor([[1.25, 0.0]])).materialise()
    assert rows.tolist() == [[[0, 0, 1.25], [0, 0, 0]]]


def test_times_equals_the_matrix_product() -> None:
    batch, matrix = one_hot_batch(3, 4, WORDS, scaled=True), numbers(WORDS, H)
    assert_all_close([batch.times(matrix)], [batch.materialise().double() @ matrix])
