"""The moment between two batches, beyond what Lightning keeps: random numbers, half-summed metrics, the clock."""

import random
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torchmetrics import Metric

from sluice.lightning_internals import end_restart, next_logged_step, set_next_logged_step, set_update_count


class Moment:
    """Every rank's random number generators and the sums of its epoch's metrics, as plain containers and tensors."""

    def __init__(self) -> None:
        self._to_restore: dict[str, Any] | None = None
        self._started, self._seconds_before = time.monotonic(), 0.0
        self.finished = False

    @property
    def seconds(self) -> float:
        """Since the run's very start, without the time it lay still."""
        return self._seconds_before + time.monotonic() - self._started

    def begin_batch(self, trainer: pl.Trainer) -> None:
        """To be called before anything of a batch is done; the first time after a resume, goes back to where it was."""
        if self._to_restore is not None:
            _restore(trainer, self._to_restore)
            self._to_restore = None

    def gathered(self, trainer: pl.Trainer) -> dict[str, Any]:
        """What goes into the checkpoint; every rank must ask."""
        module: Any = trainer.lightning_module
        own = {
            "random": random_state(),
            "metrics": metric_sums(module),
            "carried": module.carried(),
        }
        ranks: list[Any] = [own]
        if trainer.world_size > 1:
            ranks = [None] * trainer.world_size
            torch.distributed.all_gather_object(ranks, own)
        return {
            "ranks": ranks,
            "seconds": self.seconds,
            "next_logged_step": next_logged_step(trainer),
            "finished": self.finished,
            "seen_metrics": {name: float(value) for name, value in trainer.callback_metrics.items()},
        }

    def go_back_to(self, saved: dict[str, Any]) -> None:
        """Keeps a saved moment until the first batch."""
        self._to_restore, self._seconds_before = saved, saved["seconds"]
        self.finished = saved["finished"]


def _restore(trainer: pl.Trainer, saved: dict[str, Any]) -> None:
    """What Lightning doesn't take up by itself; rank by rank where there are as many as there were."""
    module: Any = trainer.lightning_module
    set_next_logged_step(trainer, saved["next_logged_step"])
    end_restart(trainer)
    trainer.callback_metrics.update({name: torch.tensor(value) for name, value in saved["seen_metrics"].items()})
    ranks = saved["ranks"]
    if len(ranks) != trainer.world_size:
        return  # other ranks, other random numbers: there is nothing to go back to
    own = ranks[trainer.global_rank]
    set_metric_sums(module, own["metrics"])
    module.carry_on(own["carried"])
    set_random_state(own["random"])


def random_state() -> dict[str, Any]:
    """All generators, in what torch.load takes with weights_only."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": [version, list(numbers), gauss],
        "numpy": [str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Goes back to what `random_state` gave."""
    torch.set_rng_state(state["torch"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.asarray(keys, dtype=np.uint32), position, has_gauss, cached))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def metric_sums(module: torch.nn.Module) -> dict[str, dict[str, Any]]:
    """The sums that each torchmetrics metric of a module holds, by its name; metrics that hold lists are left out."""
    found: dict[str, dict[str, Any]] = {}
    for name, metric in module.named_modules():
        if isinstance(metric, Metric) and metric.update_count:
            state = metric.metric_state
            sums = {
                key: value.detach().cpu().clone() for key, value in state.items() if isinstance(value, torch.Tensor)
            }
            if len(sums) == len(state):
                found[name] = {"count": metric.update_count, "sums": sums}
    return found


def set_metric_sums(module: torch.nn.Module, saved: dict[str, dict[str, Any]]) -> None:
    """Gives the metrics of a module back what `metric_sums` took."""
    for name, metric in module.named_modules():
        if isinstance(metric, Metric) and name in saved:
            set_update_count(metric, saved[name]["count"])
            for key, value in saved[name]["sums"].items():
                setattr(metric, key, value.to(metric.device))
