"""Checkpoints of the last epochs are saved once per epoch."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader

from sluice.callbacks.last_epochs import LastEpochs
from sluice.callbacks.weight_averaging import ExponentialMovingAverage
from sluice.modules.base import TaskModule

STEPS = 4
"""Optimizer steps of an epoch."""
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class OneWeight(TaskModule):
    """One weight, which falls by 0.1 at every step, from 1."""

    def __init__(self) -> None:
        network = nn.Linear(1, 1, bias=False)
        nn.init.ones_(network.weight)
        super().__init__(network=network)

    def configure_optimizers(self) -> SGD:
        return SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.network(batch).mean()  # type: ignore[no-any-return]

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", 1.0)


def fit(*callbacks: Callback, epochs: int, resume: Path | None = None, **options: Any) -> None:
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        num_sanity_val_steps=0,
        callbacks=[*callbacks],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    batches: Any = DataLoader([torch.ones(1)] * STEPS)  # type: ignore[arg-type]
    trainer.fit(OneWeight(), batches, batches, ckpt_path=None if resume is None else str(resume))


def saved(folder: Path) -> dict[str, float]:
    """The weight in each file."""
    return {
        path.stem: float(torch.load(path, weights_only=True)["state_dict"]["network.weight"])
        for path in sorted(folder.glob("epoch-*.ckpt"))
    }


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"val_check_interval": 0.5}, id="two validations per epoch"),
        pytest.param({"val_check_interval": 3}, id="validation before the end of the epoch"),
        pytest.param({"check_val_every_n_epoch": 2}, id="validation every second epoch"),
        pytest.param({"limit_val_batches": 0}, id="no validation"),
    ],
)
def test_every_epoch_is_saved_once_at_its_end(tmp_path: Path, options: dict[str, Any]) -> None:
    fit(LastEpochs(run_dir=str(tmp_path), count=4), epochs=6, **options)
    expected = {f"epoch-{epoch}": 1 - 0.1 * STEPS * (epoch + 1) for epoch in (2, 3, 4, 5)}
    assert saved(tmp_path) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("interval", [0.5, 1.0])
def test_averages_are_saved_at_the_end_of_an_epoch(tmp_path: Path, interval: float) -> None:
    average = ExponentialMovingAverage(decay=0.3)
    fit(average, LastEpochs(run_dir=str(tmp_path), count=2), epochs=2, val_check_interval=interval)
    expected, steps = 0.9, iter(range(2, 2 * STEPS + 1))
    for epoch in range(2):
        for step in [next(steps) for _ in range(STEPS - (epoch == 0))]:
            decay = min(0.3, step / (9 + step))
            expected = decay * expected + (1 - decay) * (1 - 0.1 * step)
        assert saved(tmp_path)[f"epoch-{epoch}"] == pytest.approx(expected, abs=1e-6)


def test_resuming_with_a_smaller_count_deletes_the_oldest(tmp_path: Path) -> None:
    whole = ModelCheckpoint(dirpath=tmp_path, filename="whole")
    fit(LastEpochs(run_dir=str(tmp_path), count=4), whole, epochs=5)
    assert list(saved(tmp_path)) == ["epoch-1", "epoch-2", "epoch-3", "epoch-4"]
    fit(LastEpochs(run_dir=str(tmp_path), count=2), epochs=6, resume=tmp_path / "whole.ckpt")
    assert list(saved(tmp_path)) == ["epoch-4", "epoch-5"]
