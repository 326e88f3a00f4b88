"""The base class of metrics that are computed from sums."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from typing_extensions import Self


class Sums(Metric):
    """A metric whose states are sums over batches and ranks.

    The sums keep their dtype. Metrics of torchmetrics are converted together with a module by
    `module.to(torch.bfloat16)`, as with `trainer.precision=bf16-true`: a sum in bfloat16 stays 256 if 1 is added to it.
    """

    full_state_update = False

    def add_sums(self, *names: str, dtype: torch.dtype = torch.float64) -> None:
        """Adds states of these names, which are 0 at first."""
        for name in names:
            self.add_state(name, torch.zeros((), dtype=dtype), dist_reduce_fx="sum")

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> Self:
        device = fn(torch.zeros(1, device=self.device)).device
        super()._apply(lambda tensor: tensor.to(device), exclude_state)
        return self
