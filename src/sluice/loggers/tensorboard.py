"""TensorBoard logger and its SummaryWriter."""

import re
from typing import TYPE_CHECKING

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard(TensorBoardLogger):
    """Lightning's TensorBoardLogger, with events in the run's folder itself and without hparams.yaml."""

    def __init__(self, *, run_dir: str) -> None:
        """
        Args:
            run_dir: the run's folder.
        """
        self._run_dir = run_dir
        self.resume_from(0)  # TensorBoard purges a later file's steps only if the first file has a purge step too

    def resume_from(self, step: int) -> None:
        """Makes TensorBoard discard events of earlier processes from `step` on; call before anything is logged."""
        super().__init__(self._run_dir, name="", version="", default_hp_metric=False, purge_step=step)

    def save(self) -> None:
        self.experiment.flush()


def find_writer(trainer: pl.Trainer) -> "SummaryWriter | None":
    """The SummaryWriter of the trainer's TensorBoard logger; None without such a logger and on ranks other than 0."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            return logger.experiment
    return None


def validation_step(trainer: pl.Trainer) -> int:
    """The step with which Lightning logs the metrics of the current validation."""
    return max(0, trainer.global_step - 1)


def escape_markdown(text: str) -> str:
    """Escapes the special characters of Markdown."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
