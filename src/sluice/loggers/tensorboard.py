"""TensorBoard logger and its SummaryWriter."""

import re
from argparse import Namespace
from typing import TYPE_CHECKING

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from sluice.plain import Plain

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

    @rank_zero_only
    def log_hyperparams(self, params: Plain | Namespace, metrics: Plain | None = None, step: int | None = None) -> None:
        """Logs settings and final metrics for the HPARAMS page; does nothing without metrics.

        Lightning also writes lists of the settings and metrics, and TensorBoard uses those of the first run for all.
        Without them, it shows the settings of all runs, those that differ between runs first.

        Args:
            params: settings by name.
            metrics: final metrics by name.
            step: the last optimizer step.
        """
        if not metrics:
            return
        from torch.utils.tensorboard.summary import hparams

        self.log_metrics(metrics, step)
        given = vars(params) if isinstance(params, Namespace) else params
        settings = {
            name: value if isinstance(value, int | float | str) else str(value) for name, value in given.items()
        }
        _, *session = hparams(settings, metrics)
        for summary in session:
            self.experiment.file_writer.add_summary(summary, step)

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
