"""Sums of metrics keep their precision when the module is converted, and move to its device."""

import pytest
import torch
from torch import nn

from sluice.metrics.accuracy import StepAccuracy
from sluice.metrics.perplexity import TokenLoss
from sluice.metrics.weighted_mean import WeightedMean


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_sums_are_exact_in_modules_of_any_precision(dtype: torch.dtype) -> None:
    loss, mean, accuracy = TokenLoss(), WeightedMean(), StepAccuracy()
    nn.ModuleList([loss, mean, accuracy]).to(dtype)
    targets = torch.zeros(1, 601, dtype=torch.int64)
    predicted = (torch.arange(601) < 3).long().unsqueeze(0)
    for _ in range(2):  # also after resetting
        for _ in range(200):
            loss.update(torch.tensor(1203.0), tokens=601)
            mean.update(torch.tensor(0.5, dtype=dtype), 601)
            accuracy.update(predicted, targets, torch.tensor([601]))
        assert float(loss.compute()) == 1203 / 601
        assert float(mean.compute()) == 0.5
        assert float(accuracy.compute()) == 598 / 601
        for metric in (loss, mean, accuracy):
            metric.reset()


def test_sums_move_with_the_module() -> None:
    loss = TokenLoss()
    nn.ModuleList([loss]).to("meta", torch.bfloat16)
    assert loss.nll.is_meta
    assert loss.nll.dtype == torch.float64
    assert loss.device.type == "meta"
