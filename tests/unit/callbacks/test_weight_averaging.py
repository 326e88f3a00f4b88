"""Averages of the weights are validated and saved everywhere; training continues on the raw weights."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader

from sluice.callbacks.averaged_weights import AveragedWeights
from sluice.callbacks.checkpoints import BestCheckpoint
from sluice.callbacks.last_epochs import LastEpochs
from sluice.callbacks.weight_averaging import ExponentialMovingAverage, StochasticWeightAverage, TrainingAverage
from sluice.lightning_internals import averaged_model
from sluice.modules.base import Monitor, TaskModule
from sluice.optim.nt_asgd import NTASGD

RATE = 0.1
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class OneWeight(TaskModule):
    """One weight, which falls by RATE at every step, from 1."""

    def __init__(self, kind: type[SGD] | type[NTASGD] = SGD) -> None:
        self.kind = kind
        network = nn.Linear(1, 1, bias=False)
        nn.init.ones_(network.weight)
        super().__init__(network=network, monitor=Monitor("val/score", "max"))
        self.validated: list[float] = []
        self.trained: list[float] = []

    @property
    def weight(self) -> float:
        return float(self.network.weight)  # type: ignore[arg-type]

    def configure_optimizers(self) -> Optimizer:
        return self.kind(self.parameters(), lr=RATE, weight_decay=0.0)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.trained.append(self.weight)
        return self.network(batch).mean()  # type: ignore[no-any-return]

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.validated.append(self.weight)
        self.log_dict({"val/score": float(len(self.validated)), "val/loss": float(len(self.validated))})


def fit(
    folder: Path,
    module: OneWeight,
    *callbacks: Callback,
    epochs: int = 2,
    resume: Path | None = None,
    precision: Any = "32-true",
) -> None:
    trainer = pl.Trainer(
        precision=precision,
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=epochs,
        num_sanity_val_steps=0,
        callbacks=[*callbacks, BestCheckpoint(run_dir=str(folder), monitor="val/score", mode="max")],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    one: Any = [torch.ones(1, dtype=torch.bfloat16 if precision == "bf16-true" else torch.float32)]
    trainer.fit(module, DataLoader(one * 4), DataLoader(one), ckpt_path=None if resume is None else str(resume))


def saved(path: Path, key: str = "state_dict") -> float:
    return float(torch.load(path, weights_only=True)[key]["network.weight"])


def weights(steps: int) -> list[float]:
    """The raw weights after each step."""
    return [1 - RATE * step for step in range(1, steps + 1)]


def moving_average(steps: int, decay: float) -> float:
    first, *others = weights(steps)
    for updates, weight in enumerate(others, start=1):
        limited = min(decay, (1 + updates) / (10 + updates))
        first = limited * first + (1 - limited) * weight
    return first


def test_moving_average_is_validated_and_saved(tmp_path: Path) -> None:
    module = OneWeight()
    fit(tmp_path, module, ExponentialMovingAverage(decay=0.3), LastEpochs(run_dir=str(tmp_path), count=2))
    expected = [moving_average(steps, 0.3) for steps in (4, 8)]
    assert module.validated == pytest.approx(expected)
    assert module.trained == pytest.approx([1, *weights(7)])
    assert [saved(tmp_path / f"epoch-{epoch}.ckpt") for epoch in range(2)] == pytest.approx(expected)
    assert saved(tmp_path / "best.ckpt") == pytest.approx(expected[-1])
    assert module.weight == pytest.approx(expected[-1])


def test_weights_of_the_last_part_are_averaged_equally(tmp_path: Path) -> None:
    module = OneWeight()
    fit(tmp_path, module, StochasticWeightAverage(start_fraction=0.5))
    assert module.validated[0] == pytest.approx(weights(4)[-1]), "the current weights before averaging starts"
    assert module.validated[1] == pytest.approx(sum(weights(8)[4:]) / 4)
    assert saved(tmp_path / "best.ckpt") == pytest.approx(module.validated[1])


def test_full_checkpoint_has_averages_and_current_weights(tmp_path: Path) -> None:
    within = ModelCheckpoint(dirpath=tmp_path, filename="within", save_on_train_epoch_end=False)
    fit(tmp_path, OneWeight(), ExponentialMovingAverage(decay=0.3), within, epochs=1)
    assert saved(tmp_path / "within.ckpt") == pytest.approx(moving_average(4, 0.3))
    assert saved(tmp_path / "within.ckpt", "current_model_state") == pytest.approx(weights(4)[-1])


def test_resumed_training_continues_the_average(tmp_path: Path) -> None:
    for average in (ExponentialMovingAverage, StochasticWeightAverage):
        folder = tmp_path / average.__name__
        saving = ModelCheckpoint(dirpath=folder, filename="{step}", every_n_train_steps=2, save_top_k=-1)
        module, resumed = OneWeight(), OneWeight()
        fit(folder, module, average(), saving)
        fit(folder, resumed, average(), resume=folder / "step=2.ckpt")
        assert len(resumed.trained) == 6
        assert resumed.trained == module.trained[-len(resumed.trained) :]
        assert resumed.weight == module.weight


def test_nt_asgd_averages_are_saved_at_the_end_of_an_epoch(tmp_path: Path) -> None:
    module = OneWeight(NTASGD)
    fit(tmp_path, module, AveragedWeights(), LastEpochs(run_dir=str(tmp_path), count=1), epochs=8)
    assert saved(tmp_path / "epoch-7.ckpt") == module.validated[-1] == saved(tmp_path / "best.ckpt")
    assert module.validated[-1] != pytest.approx(module.trained[-1] - RATE), "averaging has started"


@pytest.mark.parametrize("average", [ExponentialMovingAverage, StochasticWeightAverage])
def test_training_in_double_precision_is_exact(tmp_path: Path, average: type[Callback]) -> None:
    module, plain = OneWeight(), OneWeight()
    fit(tmp_path / "averaged", module, average(), precision="64-true")
    fit(tmp_path / "plain", plain, precision="64-true")
    assert module.trained == plain.trained
    assert module.network.weight.dtype == torch.float64
    assert saved(tmp_path / "averaged" / "best.ckpt") == module.validated[-1]


@pytest.mark.parametrize("average", [ExponentialMovingAverage(decay=0.99), StochasticWeightAverage(start_fraction=0)])
def test_averages_of_half_precision_weights_are_in_float32(tmp_path: Path, average: TrainingAverage) -> None:
    fit(tmp_path, OneWeight(), average, epochs=1, precision="bf16-true")
    model = averaged_model(average)
    assert model is not None
    assert {parameter.dtype for parameter in model.module.parameters()} == {torch.float32}


def test_averages_are_on_the_device_of_the_training() -> None:
    average = ExponentialMovingAverage()
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")), precision="32-true")
    average.setup(trainer, OneWeight(), "fit")
    model = averaged_model(average)
    assert model is not None
    assert all(parameter.is_meta for parameter in model.module.parameters())


@pytest.mark.parametrize("given", [{"decay": 1.0}, {"decay": 0.0}, {"every_steps": 0}, {"start_step": -1}])
def test_invalid_arguments_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        ExponentialMovingAverage(**given)
