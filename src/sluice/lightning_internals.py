"""The only file that uses private attributes of Lightning and torchmetrics; pyproject.toml pins their minor versions.

Lightning resumes at epoch boundaries. Resuming exactly within an epoch requires setting counters for which Lightning
has no public setter.
"""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelSummary, WeightAveraging
from torch.optim.swa_utils import AveragedModel
from torchmetrics import Metric


def is_logged_step(trainer: pl.Trainer) -> bool:
    """Whether the metrics of the current training step are logged, see `log_every_n_steps`.

    Lightning counts steps by `_batches_that_stepped`, which has no public counterpart; `global_step` differs from it
    with several optimisers.
    """
    return bool(trainer._logger_connector.should_update_logs)


def next_logged_step(trainer: pl.Trainer) -> int:
    """The step of the next training metrics to be logged, the counter used by `is_logged_step`."""
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def set_next_logged_step(trainer: pl.Trainer, step: int) -> None:
    """Restores the value of `next_logged_step`, which Lightning does not save but estimates when it resumes."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = step


def end_restart(trainer: pl.Trainer) -> None:
    """Clears the `restarting` flag of the fit loop, so that the resumed epoch ends normally.

    While the flag is set, schedulers that depend on a monitored metric are not stepped. The public setter `restarting`
    also sets the inner loops, and sets True if training is limited by steps.
    """
    trainer.fit_loop._restarting = False


def set_update_count(metric: Metric, count: int) -> None:
    """Restores a metric's read-only `update_count`, and clears its cached value."""
    metric._update_count = count
    metric._computed = None


def settle_progress(fit_loop: dict[str, Any]) -> None:
    """Sets the saved progress to the boundary after the last complete batch.

    Args:
        fit_loop: the state of Lightning's fit loop in a checkpoint; changed in place.
    """
    progress = fit_loop["epoch_loop.batch_progress"]
    for counters in (progress["total"], progress["current"]):
        counters.update(dict.fromkeys(("ready", "started", "completed"), counters["processed"]))
    progress["is_last_batch"] = False


def summary_depth(callback: ModelSummary) -> int:
    """The `max_depth` that a model summary was made with."""
    return int(callback._max_depth)


def averaged_model(callback: WeightAveraging) -> AveragedModel | None:
    """The averages of a weight-averaging callback; None before training."""
    return callback._average_model
