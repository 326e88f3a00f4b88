"""Schedules that change the learning rate every few optimizer steps of the training."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader

from sluice.modules.base import TaskModule
from sluice.targets.instantiate import factory

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class RecordedRates(TaskModule):
    """Records the learning rate of every optimizer step."""

    rates: list[float]

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.network(batch).mean()  # type: ignore[no-any-return]

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.rates.append(round(optimizer.param_groups[0]["lr"], 4))


def rates(spec: dict[str, Any], epochs: int, batches: int, accumulate: int = 1) -> list[float]:
    module = RecordedRates(
        network=nn.Linear(1, 1), optimizer=lambda weights: SGD(weights, lr=1.0), schedule=factory("scheduler", spec)
    )
    module.rates = []
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data: Any = DataLoader([torch.ones(1)] * batches)  # type: ignore[arg-type]
    trainer.fit(module, data)
    return module.rates


def test_linear_decay_every_third_step_ends_with_training() -> None:
    found = rates({"_target_": "sluice.optim.schedules.linear", "frequency": 3}, epochs=3, batches=4)
    assert found == [rate for rate in (1.0, 0.75, 0.5, 0.25) for _ in range(3)]


@pytest.mark.parametrize(("batches", "accumulate"), [(4, 2), (1, 1)])
def test_frequency_counts_optimizer_steps(batches: int, accumulate: int) -> None:
    halved = {"_target_": "torch.optim.lr_scheduler.ExponentialLR", "gamma": 0.5, "interval": "step", "frequency": 2}
    steps = batches // accumulate
    assert rates(halved, 6 // steps, batches, accumulate) == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_frequency_of_epochs() -> None:
    halved = {"_target_": "torch.optim.lr_scheduler.ExponentialLR", "gamma": 0.5, "frequency": 2}
    assert rates(halved, epochs=4, batches=2) == [1.0] * 4 + [0.5] * 4
