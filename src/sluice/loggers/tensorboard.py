"""TensorBoard's logger, and finding its writer."""

import re
from typing import TYPE_CHECKING

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard(TensorBoardLogger):
    """Lightning's logger, with events straight into the run's folder and no hparams.yaml (config.yaml has it all)."""

    def __init__(self, *, run_dir: str) -> None:
        self._run_dir = run_dir
        self.resume_from(0)  # a later process's word counts only where the first one has said its own

    def resume_from(self, step: int) -> None:
        """Says, before anything is written, that what an earlier process wrote from this step on is void."""
        super().__init__(self._run_dir, name="", version="", default_hp_metric=False, purge_step=step)

    def save(self) -> None:
        self.experiment.flush()


def find_writer(trainer: pl.Trainer) -> "SummaryWriter | None":
    """The SummaryWriter of the trainer's TensorBoard logger; None on other ranks and where there is no such logger."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            return logger.experiment
    return None


def validation_step(trainer: pl.Trainer) -> int:
    """The step under which Lightning logs the metrics of the present validation."""
    return max(0, trainer.global_step - 1)


def escape_markdown(text: str) -> str:
    """A text that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
