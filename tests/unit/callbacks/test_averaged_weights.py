"""With NT-ASGD the averaged weights are validated and saved; training continues on the raw weights."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader

from sluice.callbacks.averaged_weights import AveragedWeights
from sluice.callbacks.checkpoints import BestCheckpoint
from sluice.optim.nt_asgd import NTASGD


class OneWeightModule(pl.LightningModule):
    """One weight; its validation loss grows, so that averaging begins after three validations."""

    def __init__(self, optimizer: type[Optimizer], **options: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.optimizer, self.options = optimizer, options
        self.validated: list[float] = []
        self.trained: list[float] = []
        self.calls = 0

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer(self.parameters(), lr=0.1, **self.options)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.trained.append(float(self.weight))
        return self.weight.sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.validated.append(float(self.weight))
        self.calls += 1
        self.log("val/loss", float(self.calls))
        self.log("val/score", float(self.calls))


def fit(folder: Path, module: OneWeightModule, val_check_interval: float = 2) -> pl.Trainer:
    best = BestCheckpoint(run_dir=str(folder), monitor="val/score", mode="max")
    trainer = pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=3 if val_check_interval == 2 else 6,
        val_check_interval=val_check_interval,
        callbacks=[best, AveragedWeights()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(list(torch.zeros(4)))  # type: ignore[arg-type]
    trainer.fit(module, loader, DataLoader(list(torch.zeros(1))))  # type: ignore[arg-type]
    return trainer


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_averages_are_validated_and_saved_in_best_checkpoint(tmp_path: Path) -> None:
    module = OneWeightModule(NTASGD, weight_decay=0.0, patience=1)
    fit(tmp_path, module)
    assert module.trained == pytest.approx([1 - 0.1 * step for step in range(12)], abs=1e-6)
    plain = [0.8, 0.6, 0.4]
    averaged = [sum(range(4, last - 1, -1)) / (5 - last) / 10 for last in (2, 0, -2)]  # from w_T = 0.4 on
    assert module.validated[1:] == pytest.approx(plain + averaged, abs=1e-6), "the first is Lightning's sanity check"
    kept = torch.load(tmp_path / "best.ckpt", weights_only=False)["state_dict"]["weight"]
    assert float(kept) == pytest.approx(averaged[-1], abs=1e-6)
    assert float(module.weight) == pytest.approx(averaged[-1], abs=1e-6), "the averages are left in the module"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_other_optimizers_are_unaffected(tmp_path: Path) -> None:
    module = OneWeightModule(SGD)
    fit(tmp_path, module)
    assert module.validated[1:] == pytest.approx([1 - 0.2 * count for count in range(1, 7)], abs=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_best_checkpoint_has_averages_if_validated_each_epoch(tmp_path: Path) -> None:
    module = OneWeightModule(NTASGD, weight_decay=0.0, patience=1)
    fit(tmp_path, module, val_check_interval=1.0)
    kept = torch.load(tmp_path / "best.ckpt", weights_only=False)["state_dict"]["weight"]
    assert float(kept) == pytest.approx(module.validated[-1], abs=1e-6)
    assert float(kept) != pytest.approx(module.trained[-1] - 0.1, abs=1e-3)
