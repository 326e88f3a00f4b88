"""Logging: plain messages to the terminal, messages with time and level to log.txt in the run folder."""

import logging
import sys
import warnings
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import TextIO

from sluice.distributed import global_rank
from sluice.terminal import PrintableFormatter

EARLY_LINES = 1000
"""Maximum number of messages buffered until the run folder exists."""

_QUIET = (
    ".*does not have many workers.*",
    ".*The number of training batches.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
    ".*your dataloader is not resumable.*",
    ".*`srun` command is available.*",
    ".*ModelCheckpoint\\(monitor=.*could not find the monitored key.*",
    ".*GPU available but not used.*",
    ".*The PyTorch Profiler default schedule will be overridden.*",
    ".*You are using a custom batch sampler .* for prediction.*",
    ".*Experiment logs directory .* exists and is not empty.*",
)
"""Warnings of Lightning that don't apply here; for example, batches need no workers since they take 0.1 ms."""


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to standard error; on a terminal through the stream by which a progress bar replaces it."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._on_terminal = sys.stderr.isatty()
        self.addFilter(lambda record: not getattr(record, "file_only", False))

    def emit(self, record: logging.LogRecord) -> None:
        if self._on_terminal:
            self.stream = sys.stderr
        super().emit(record)


def start_logging() -> None:
    """Sends Sluice's log to standard error, and limits Lightning to warnings."""
    logger = logging.getLogger("sluice")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    _enable_loggers()
    close_logs()
    handler = _StandardError() if global_rank() == 0 else logging.NullHandler()
    handler.setFormatter((PrintableFormatter if sys.stderr.isatty() else logging.Formatter)("%(message)s"))
    logger.addHandler(handler)
    logger.addHandler(MemoryHandler(EARLY_LINES, flushLevel=logging.CRITICAL + 1, flushOnClose=False))
    quiet_lightning()
    for message in _QUIET:
        warnings.filterwarnings("ignore", message=message)


def quiet_lightning() -> None:
    """Limits Lightning to warnings; it sets the levels of its loggers when it is imported."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _enable_loggers() -> None:
    """Enables loggers again that Hydra disables at the start of each sweep run."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("sluice") and isinstance(logger, logging.Logger):
            logger.disabled = False


def log_to(folder: Path) -> None:
    """Also writes the log to log.txt in the run folder, including earlier messages."""
    handler = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("sluice")
    for early in [other for other in logger.handlers if isinstance(other, MemoryHandler)]:
        early.setTarget(handler)
        early.flush()
        logger.removeHandler(early)
    logger.addHandler(handler)


def close_logs() -> None:
    """Closes the log of this run, so that the next run of a sweep starts its own."""
    logger = logging.getLogger("sluice")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
