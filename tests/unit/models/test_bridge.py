"""Bridges from the final encoder state to the initial decoder state."""

from typing import Any

import pytest
import torch

from sluice.models.bridge import make_bridge
from sluice.options import BRIDGES
from sluice.recurrent import RecurrentStack

BATCH = 3


def stack(
    cell: str, hidden_size: int | list[int], layers: int | None = None, bidirectional: bool = False
) -> RecurrentStack:
    torch.manual_seed(0)
    return RecurrentStack(
        cell=cell, input_size=2, hidden_size=hidden_size, num_layers=layers, bidirectional=bidirectional
    )


def last_state(encoder: RecurrentStack) -> Any:
    return encoder(torch.randn(BATCH, 5, 2), torch.tensor([5, 2, 3])).state


@pytest.mark.parametrize("kind", BRIDGES)
@pytest.mark.parametrize("cells", [("lstm", "lstm"), ("gru", "lstm"), ("lstm", "gru")])
def test_every_pair_of_cells_is_supported(kind: str, cells: tuple[str, str]) -> None:
    encoder, decoder = stack(cells[0], 4, 2, bidirectional=True), stack(cells[1], 8, 2)
    state = make_bridge(kind, encoder, decoder)(last_state(encoder))
    assert isinstance(state, decoder.state_type)
    assert all(tensor.shape == (2, BATCH, 8) for tensor in state)
    decoder(torch.randn(BATCH, 4, 2), torch.tensor([4, 4, 1]), state)


def test_last_concatenates_both_directions() -> None:
    encoder, decoder = stack("lstm", 4, 2, bidirectional=True), stack("lstm", 8, 2)
    given = last_state(encoder)
    for initial, field in zip(make_bridge("last", encoder, decoder)(given), given, strict=True):
        for layer in range(2):
            assert torch.equal(initial[layer], torch.cat([field[2 * layer], field[2 * layer + 1]], -1))


def test_last_uses_the_upper_layers() -> None:
    encoder, decoder = stack("gru", 8, 3), stack("gru", 8, 1)
    given = last_state(encoder)
    assert torch.equal(make_bridge("last", encoder, decoder)(given).hidden, given.hidden[-1:])


def test_missing_cell_state_is_zero() -> None:
    encoder, decoder = stack("gru", 8, 1), stack("lstm", 8, 1)
    state = make_bridge("last", encoder, decoder)(last_state(encoder))
    assert not state.cell.any()
    assert state.hidden.any()


def test_learned_is_tanh_of_a_linear_map_of_the_top_layer() -> None:
    encoder, decoder = stack("lstm", 4, 2, bidirectional=True), stack("lstm", 3, 2)
    bridge, given = make_bridge("learned", encoder, decoder), last_state(encoder)
    top = torch.cat([given.hidden[2], given.hidden[3], given.cell[2], given.cell[3]], -1)
    expected = torch.tanh(bridge.map(top)).view(BATCH, 2, 2, 3)
    state = bridge(given)
    for layer in range(2):
        assert torch.equal(state.hidden[layer], expected[:, 0, layer])
        assert torch.equal(state.cell[layer], expected[:, 1, layer])


@pytest.mark.parametrize("kind", BRIDGES)
def test_layers_may_differ_in_size(kind: str) -> None:
    encoder, decoder = stack("lstm", [3, 4, 2], bidirectional=True), stack("lstm", [8, 4])
    given = last_state(encoder)
    state = make_bridge(kind, encoder, decoder)(given)
    assert [tuple(layer.cell.shape) for layer in state] == [(1, BATCH, 8), (1, BATCH, 4)]
    decoder(torch.randn(BATCH, 4, 2), torch.tensor([4, 4, 1]), state)
    for layer, own in zip(given[1:], state, strict=True):
        for before, after in zip(layer, own, strict=True):
            expected = {"zeros": torch.zeros_like(after[0]), "last": torch.cat([before[0], before[1]], -1)}
            assert kind == "learned" or torch.equal(after[0], expected[kind])


def test_learned_uses_the_top_layer_of_another_size() -> None:
    encoder, decoder = stack("gru", [3, 4]), stack("gru", 5, 2)
    bridge, given = make_bridge("learned", encoder, decoder), last_state(encoder)
    expected = torch.tanh(bridge.map(given[1].hidden[0])).view(BATCH, 2, 5)
    assert torch.equal(bridge(given).hidden, expected.transpose(0, 1))


def test_last_needs_the_sizes_of_the_upper_layers() -> None:
    with pytest.raises(ValueError, match=r"cannot map 2 encoder layers of \[8,4\] units .* to 2 decoder layers of 4"):
        make_bridge("last", stack("gru", [8, 4]), stack("gru", 4, 2))


@pytest.mark.parametrize(("hidden", "layers"), [(7, 1), (8, 3)])
def test_last_refuses_other_sizes(hidden: int, layers: int) -> None:
    encoder = stack("gru", 4, 2, bidirectional=True)
    with pytest.raises(
        ValueError, match=f"cannot map 2 encoder layers of 8 units .* to {layers} decoder layers of {hidden}"
    ):
        make_bridge("last", encoder, stack("gru", hidden, layers))
