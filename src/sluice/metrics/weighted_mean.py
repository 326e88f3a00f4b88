"""Means over an epoch, in which each batch weighs as much as it has examples."""

import torch
from torch import Tensor
from torchmetrics import Metric


class WeightedMean(Metric):
    """Σ mean · count / Σ count over all batches and ranks.

    Instead of torchmetrics' MeanMetric, which either reads every value back from the device to look for NaN, so that
    each batch waits for a GPU, or (nan_strategy="disable", torchmetrics 1.9) ignores the weights. A NaN stays a NaN.
    """

    mean_value: Tensor
    weight: Tensor
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        for name in ("mean_value", "weight"):  # as MeanMetric calls them: checkpoints hold these names
            self.add_state(name, torch.zeros(()), dist_reduce_fx="sum")

    def update(self, mean: Tensor, count: int | Tensor) -> None:
        """Adds a batch.

        Args:
            mean: () of the batch.
            count: examples it is the mean of; a whole number, or a tensor () on the device of `mean`.
        """
        self.mean_value += mean.detach() * count
        self.weight += count

    def compute(self) -> Tensor:
        return self.mean_value / self.weight


class RootMean(WeightedMean):
    """The root of the mean, not the mean of roots.

    Instead of torchmetrics' MeanSquaredError(squared=False), which would compute the errors once more; from the same
    sums, the RMSE is exactly the root of the logged loss.
    """

    def compute(self) -> Tensor:
        return torch.sqrt(super().compute())
