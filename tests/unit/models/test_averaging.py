"""The mean of states."""

import pytest
import torch
from torch import nn

from sluice.models.averaging import average_states


def test_the_mean_of_a_linear_network_is_the_mean_of_its_outputs() -> None:
    networks = [nn.Linear(3, 2).double() for _ in range(4)]
    mean = nn.Linear(3, 2).double()
    mean.load_state_dict(average_states([network.state_dict() for network in networks]))
    inputs = torch.randn(5, 3, dtype=torch.float64)
    assert torch.allclose(mean(inputs), torch.stack([network(inputs) for network in networks]).mean(0))


def test_float16_is_added_up_exactly_and_stays_what_it_is() -> None:
    states = [{"w": torch.full((1,), value, dtype=torch.float16)} for value in (60000.0, 60000.0, 30000.0)]
    averaged = average_states(states)["w"]
    assert averaged.dtype == torch.float16
    assert averaged.item() == torch.tensor(50000.0, dtype=torch.float16).item()


def test_counters_are_those_of_the_last() -> None:
    states = [{"steps": torch.tensor(step), "w": torch.tensor([float(step)])} for step in (3, 5)]
    averaged = average_states(states)
    assert averaged["steps"].item() == 5
    assert averaged["w"].item() == 4


def test_what_cannot_be_averaged() -> None:
    with pytest.raises(ValueError, match="nothing to average"):
        average_states([])
    for other in ({"v": torch.zeros(2)}, {"w": torch.zeros(3)}):
        with pytest.raises(ValueError, match="different networks"):
            average_states([{"w": torch.zeros(2)}, other])
