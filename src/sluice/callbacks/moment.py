"""The moment between two batches, beyond what Lightning keeps: random numbers, half-summed metrics, the clock."""

import random
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torchmetrics import Metric


class Moment:
    """Every rank's random number generators and the sums of its epoch's metrics, as plain containers and tensors."""

    def __init__(self) -> None:
        self._random: dict[str, Any] = {}
        self._to_restore: dict[str, Any] | None = None
        self._started, self._seconds_before = time.monotonic(), 0.0
        self._step = 0
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
        self._random, self._step = random_state(), trainer.global_step

    def is_whole(self, trainer: pl.Trainer) -> bool:
        """Whether a broken-off batch has changed no weight or all of them, and isn't the last of its epoch."""
        loop = trainer.fit_loop.epoch_loop
        steps = loop.automatic_optimization.optim_progress.optimizer.step.total
        inside = batches_done(trainer) < trainer.num_training_batches
        return bool(steps.ready == steps.completed) and inside and not trainer.validating

    def gathered(self, trainer: pl.Trainer) -> dict[str, Any]:
        """What goes into the checkpoint; every rank must ask."""
        whole_batch = trainer.global_step != self._step
        own = {
            "random": random_state() if whole_batch or not self._random else self._random,
            "metrics": metric_sums(trainer.lightning_module),
        }
        ranks: list[Any] = [own]
        if trainer.world_size > 1:
            ranks = [None] * trainer.world_size
            torch.distributed.all_gather_object(ranks, own)
        logged = trainer.fit_loop.epoch_loop._batches_that_stepped
        return {"ranks": ranks, "seconds": self.seconds, "next_logged_step": logged, "finished": self.finished}

    def go_back_to(self, saved: dict[str, Any]) -> None:
        """Keeps a saved moment until the first batch."""
        self._to_restore, self._seconds_before = saved, saved["seconds"]
        self.finished = saved["finished"]


def batches_done(trainer: pl.Trainer) -> int:
    """Batches of the epoch whose step is made."""
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    return int(progress.processed)


def _restore(trainer: pl.Trainer, saved: dict[str, Any]) -> None:
    trainer.fit_loop.epoch_loop._batches_that_stepped = saved["next_logged_step"]
    ranks = saved["ranks"]
    if len(ranks) != trainer.world_size:
        return  # other ranks, other random numbers: there is nothing to go back to
    own = ranks[trainer.global_rank]
    set_metric_sums(trainer.lightning_module, own["metrics"])
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
    """The sums that each torchmetrics metric of a module holds, by its name."""
    return {
        name: {
            "count": metric._update_count,
            "sums": {key: getattr(metric, key).detach().cpu().clone() for key in metric._defaults},
        }
        for name, metric in module.named_modules()
        if isinstance(metric, Metric)
        and metric._update_count
        and all(isinstance(getattr(metric, key), torch.Tensor) for key in metric._defaults)
    }


def set_metric_sums(module: torch.nn.Module, saved: dict[str, dict[str, Any]]) -> None:
    """Gives the metrics of a module back what `metric_sums` took."""
    for name, metric in module.named_modules():
        if isinstance(metric, Metric) and name in saved:
            metric._update_count = saved[name]["count"]
            metric._computed = None
            for key, value in saved[name]["sums"].items():
                setattr(metric, key, value.to(metric.device))


def settle_progress(fit_loop: dict[str, Any]) -> None:
    """Makes the saved counters say that the last whole batch is done and nothing has begun, which they may not yet."""
    progress = fit_loop["epoch_loop.batch_progress"]
    for counters in (progress["total"], progress["current"]):
        counters.update(dict.fromkeys(("ready", "started", "completed"), counters["processed"]))
    progress["is_last_batch"] = False
