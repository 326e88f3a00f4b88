"""Which validation best.ckpt is of, and which epochs `LastEpochs` keeps."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sluice.callbacks.checkpoints import BestCheckpoint
from sluice.callbacks.last_epochs import LastEpochs


class Validated(pl.LightningModule):
    """Logs the given score and loss in the validation of each epoch."""

    def __init__(self, figures: Sequence[tuple[float, float]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.figures = figures

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.weight.sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        score, loss = self.figures[self.current_epoch]
        self.log_dict({"val/score": score, "val/loss": loss})


def fit(
    folder: Path, figures: Sequence[tuple[float, float]], resume: Path | None = None, *others: pl.Callback
) -> pl.Trainer:
    trainer = pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=len(figures),
        callbacks=[BestCheckpoint(run_dir=str(folder), monitor="val/score", mode="max"), *others],
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    one, other = (DataLoader(list(torch.zeros(1))) for _ in range(2))  # type: ignore[arg-type]
    trainer.fit(Validated(figures), one, other, ckpt_path=resume)
    return trainer


def best_epoch(folder: Path) -> int:
    return int(torch.load(folder / "best.ckpt", weights_only=False)["epoch"])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ([(0.5, 0.9), (1.0, 0.6), (1.0, 0.3), (0.9, 0.1), (1.0, 0.4)], 2),
        ([(1.0, 0.3), (1.0, 0.3), (0.9, 0.1)], 0),
    ],
    ids=["lower loss", "same loss"],
)
def test_loss_decides_between_equal_scores(tmp_path: Path, figures: list[tuple[float, float]], best: int) -> None:
    fit(tmp_path, figures)
    assert best_epoch(tmp_path) == best


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_resumed_run_knows_the_best_loss(tmp_path: Path) -> None:
    before = [(1.0, 0.6), (1.0, 0.3)]
    fit(tmp_path, before).save_checkpoint(tmp_path / "last.ckpt")
    fit(tmp_path, [*before, (1.0, 0.5)], resume=tmp_path / "last.ckpt")
    assert best_epoch(tmp_path) == 1
    fit(tmp_path, [*before, (1.0, 0.2)], resume=tmp_path / "last.ckpt")
    assert best_epoch(tmp_path) == 2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_moved_run_keeps_the_last_epochs_only(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    trainer = fit(before, [(1.0, 0.5)] * 2, None, LastEpochs(run_dir=str(before), count=2))
    trainer.save_checkpoint(before / "last.ckpt")
    before.rename(after)
    fit(after, [(1.0, 0.5)] * 4, after / "last.ckpt", LastEpochs(run_dir=str(after), count=2))
    assert sorted(path.name for path in after.glob("epoch-*.ckpt")) == ["epoch-2.ckpt", "epoch-3.ckpt"]
