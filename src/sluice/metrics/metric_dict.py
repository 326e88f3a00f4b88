"""A dictionary of metrics."""

from typing import Generic, TypeVar

from torch import nn
from torchmetrics import Metric, MetricCollection

MetricT = TypeVar("MetricT", bound=Metric | MetricCollection)


class MetricDict(nn.ModuleDict, Generic[MetricT]):
    """`torch.nn.ModuleDict` of metrics of one type."""

    def __getitem__(self, key: str) -> MetricT:
        return super().__getitem__(key)  # type: ignore[return-value]
