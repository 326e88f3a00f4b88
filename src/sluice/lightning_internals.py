"""The only file that uses private attributes of Lightning and torchmetrics; pyproject.toml pins their minor versions.

Lightning resumes at the end of an epoch. A run that resumes exactly in the middle of one has to set counters that
Lightning has no public setter for.
"""

from typing import Any

import pytorch_lightning as pl
from torchmetrics import Metric


def is_logged_step(trainer: pl.Trainer) -> bool:
    """Whether the metrics of the current training step go to the loggers, one in `log_every_n_steps`.

    Lightning counts steps by `_batches_that_stepped`, which no public attribute gives; `global_step` differs with
    several optimisers.
    """
    return bool(trainer._logger_connector.should_update_logs)


def next_logged_step(trainer: pl.Trainer) -> int:
    """The step under which the next training metrics are logged, the counter behind `is_logged_step`."""
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def set_next_logged_step(trainer: pl.Trainer, step: int) -> None:
    """Restores what `next_logged_step` gave: Lightning does not save the counter and guesses it when it resumes."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = step


def end_restart(trainer: pl.Trainer) -> None:
    """Makes the epoch that was resumed end like any other.

    While the loop is restarting it leaves out the schedules that follow a monitored metric. The public setter
    `restarting` also sets the loops inside, and sets True where the training is limited by steps.
    """
    trainer.fit_loop._restarting = False


def set_update_count(metric: Metric, count: int) -> None:
    """Restores a metric's `update_count`, which is read-only, and forgets the value computed from earlier sums."""
    metric._update_count = count
    metric._computed = None


def settle_progress(fit_loop: dict[str, Any]) -> None:
    """Makes the saved counters say that the last whole batch is done and nothing has begun, which they may not yet.

    Args:
        fit_loop: the state of the fit loop in a checkpoint, whose keys are Lightning's own.
    """
    progress = fit_loop["epoch_loop.batch_progress"]
    for counters in (progress["total"], progress["current"]):
        counters.update(dict.fromkeys(("ready", "started", "completed"), counters["processed"]))
    progress["is_last_batch"] = False
