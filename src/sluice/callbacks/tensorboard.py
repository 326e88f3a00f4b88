"""Finding TensorBoard's writer."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger


def find_writer(trainer: pl.Trainer) -> Any | None:
    """The SummaryWriter of the trainer's TensorBoard logger; None on other ranks and where there is no such logger."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            return logger.experiment
    return None
