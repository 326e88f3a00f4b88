"""Loggers for metrics.csv and TensorBoard, which continue correctly in resumed runs."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.loggers.csv import CSVLog as CSVLog
    from sluice.loggers.tensorboard import TensorBoard as TensorBoard

__getattr__, __all__ = lazy_exports(__name__, {"csv": ["CSVLog"], "tensorboard": ["TensorBoard"]})
