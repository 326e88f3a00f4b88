"""Means over an epoch, with batches weighted by their number of examples."""

import torch
from torch import Tensor

from sluice.metrics.sums import Sums


class WeightedMean(Sums):
    """Σ mean · count / Σ count over all batches and ranks.

    It replaces torchmetrics' MeanMetric, which either synchronises with the GPU in every batch to check for NaN or
    (nan_strategy="disable", torchmetrics 1.9) ignores the weights. NaN is propagated.
    """

    mean_value: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("mean_value", "weight", dtype=torch.float32)  # MeanMetric's names, used in checkpoints

    def update(self, mean: Tensor, count: int | Tensor) -> None:
        """Adds a batch.

        Args:
            mean: (), mean of the batch.
            count: number of examples; an int, or a tensor () on the device of `mean`.
        """
        self.mean_value += mean.detach().to(self.mean_value.dtype) * count
        self.weight += count

    def compute(self) -> Tensor:
        return self.mean_value / self.weight


class RootMean(WeightedMean):
    """Square root of the mean, not mean of square roots.

    Computed from the sums of the loss, unlike torchmetrics' MeanSquaredError(squared=False), so that the RMSE is
    exactly the root of the logged loss and errors are not computed twice.
    """

    def compute(self) -> Tensor:
        return torch.sqrt(super().compute())
