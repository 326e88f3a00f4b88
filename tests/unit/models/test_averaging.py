"""Averaging of state dicts."""

import pytest
import torch
from torch import nn

from sluice.models.averaging import average_states


def test_averaged_linear_layer_averages_the_outputs() -> None:
    networks = [nn.Linear(3, 2).double() for _ in range(4)]
    mean = nn.Linear(3, 2).double()
    mean.load_state_dict(average_states([network.state_dict() for network in networks]))
    inputs = torch.randn(5, 3, dtype=torch.float64)
    assert torch.allclose(mean(inputs), torch.stack([network(inputs) for network in networks]).mean(0))


def test_float16_is_averaged_in_float64() -> None:
    states = [{"w": torch.full((1,), value, dtype=torch.float16)} for value in (60000.0, 60000.0, 30000.0)]
    averaged = average_states(states)["w"]
    assert averaged.dtype == torch.float16
    assert averaged.item() == torch.tensor(50000.0, dtype=torch.float16).item()


def test_integers_are_taken_from_the_last_state() -> None:
    states = [{"steps": torch.tensor(step), "w": torch.tensor([float(step)])} for step in (3, 5)]
    averaged = average_states(states)
    assert averaged["steps"].item() == 5
    assert averaged["w"].item() == 4


def test_states_of_different_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="no states to average"):
        average_states([])
    for other in ({"v": torch.zeros(2)}, {"w": torch.zeros(3)}):
        with pytest.raises(ValueError, match="different networks"):
            average_states([{"w": torch.zeros(2)}, other])
