"""Loggers for metrics.csv, TensorBoard, MLflow and Weights & Biases, which continue correctly in resumed runs."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.loggers.csv import CSVLog as CSVLog
    from sluice.loggers.mlflow import MLflow as MLflow
    from sluice.loggers.tensorboard import TensorBoard as TensorBoard
    from sluice.loggers.wandb import WeightsAndBiases as WeightsAndBiases

__getattr__, __all__ = lazy_exports(
    __name__,
    {"csv": ["CSVLog"], "mlflow": ["MLflow"], "tensorboard": ["TensorBoard"], "wandb": ["WeightsAndBiases"]},
)
