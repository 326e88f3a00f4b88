"""Training state that Lightning does not save: random number generators, metrics of the current epoch, run time."""

import random
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torchmetrics import Metric

from sluice.lightning_internals import end_restart, next_logged_step, set_next_logged_step, set_update_count
from sluice.plain import Plain

STORED_AS = "moment"
"""Its key in checkpoints."""


class TrainingState:
    """Saves and restores the training state between two batches that is missing from Lightning's checkpoints.

    For every rank: random number generators, the sums of the epoch's metrics and the recurrent state that is carried
    over between batches; for the run: run time, next logged step and whether training has finished.
    """

    def __init__(self, started: float | None = None) -> None:
        """Args: started: time.monotonic() when the command started; None for now."""
        self._to_restore: Plain | None = None
        self._started, self._seconds_before = time.monotonic() if started is None else started, 0.0
        self.finished = False

    @property
    def seconds(self) -> float:
        """Run time in seconds, without the time between interruption and resumption."""
        return self._seconds_before + time.monotonic() - self._started

    def restore_once(self, trainer: pl.Trainer) -> None:
        """Restores the loaded state at the first call after `load`; to be called before each batch."""
        if self._to_restore is not None:
            _restore(trainer, self._to_restore)
            self._to_restore = None

    def gather(self, trainer: pl.Trainer) -> Plain:
        """Returns the state for the checkpoint; a collective operation, called on every rank."""
        module: Any = trainer.lightning_module
        own = {
            "random": random_state(),
            "metrics": metric_sums(module),
            "carried": module.recurrent_state(),
        }
        ranks: list[Plain] = [own]
        if trainer.world_size > 1:
            ranks = [{} for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(ranks, own)
        return {
            "ranks": ranks,
            "seconds": self.seconds,
            "next_logged_step": next_logged_step(trainer),
            "finished": self.finished,
            "seen_metrics": {name: float(value) for name, value in trainer.callback_metrics.items()},
        }

    def load(self, saved: Plain) -> None:
        """Loads a state returned by `gather`; `restore_once` restores it."""
        self._to_restore, self._seconds_before = saved, saved["seconds"]
        self.finished = saved["finished"]


def _restore(trainer: pl.Trainer, saved: Plain) -> None:
    """Restores the state; that of the ranks only if their number is unchanged."""
    module: Any = trainer.lightning_module
    set_next_logged_step(trainer, saved["next_logged_step"])
    end_restart(trainer)
    trainer.callback_metrics.update({name: torch.tensor(value) for name, value in saved["seen_metrics"].items()})
    ranks = saved["ranks"]
    if len(ranks) != trainer.world_size:
        return
    own = ranks[trainer.global_rank]
    set_metric_sums(module, own["metrics"])
    module.load_recurrent_state(own["carried"])
    set_random_state(own["random"])


def random_state() -> Plain:
    """States of the torch, Python and NumPy generators, in types that torch.load accepts with weights_only=True."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state: Plain = {
        "torch": torch.get_rng_state(),
        "python": [version, list(numbers), gauss],
        "numpy": [str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: Plain) -> None:
    """Restores the states returned by `random_state`."""
    torch.set_rng_state(state["torch"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.asarray(keys, dtype=np.uint32), position, has_gauss, cached))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def metric_sums(module: torch.nn.Module) -> dict[str, Plain]:
    """Tensor states of a module's torchmetrics metrics, by name; metrics with list states are omitted."""
    found: dict[str, Plain] = {}
    for name, metric in module.named_modules():
        if isinstance(metric, Metric) and metric.update_count:
            state = metric.metric_state
            sums = {
                key: value.detach().cpu().clone() for key, value in state.items() if isinstance(value, torch.Tensor)
            }
            if len(sums) == len(state):
                found[name] = {"count": metric.update_count, "sums": sums}
    return found


def set_metric_sums(module: torch.nn.Module, saved: dict[str, Plain]) -> None:
    """Restores the states returned by `metric_sums`."""
    for name, metric in module.named_modules():
        if isinstance(metric, Metric) and name in saved:
            set_update_count(metric, saved[name]["count"])
            for key, value in saved[name]["sums"].items():
                setattr(metric, key, value.to(metric.device, getattr(metric, key).dtype))
