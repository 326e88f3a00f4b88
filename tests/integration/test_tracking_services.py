"""MLflow and Weights & Biases get settings, curves and final metrics of a run, and continue resumed runs."""

import importlib.util
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from running import TINY, error_of, results_of, train
from sluice.callbacks.training_monitor import TrainingMonitor
from stopping import stop_signal, stopped

pytestmark = pytest.mark.usefixtures("workdir")
OFTEN = ("checkpoint.every_steps=1", "trainer.log_every_n_steps=1", "task.data.batch_size=16")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def run_twice(logger: str) -> Path:
    """The folder of a run that was stopped and resumed."""
    with stopped(stop_signal, "on_train_batch_end", 2):
        assert train(*TINY, *OFTEN, logger, "name=mine").code == 130
    (folder,) = Path("outputs/imdb/lstm").iterdir()
    ended = train(f"resume={folder}")
    assert ended.code == 0, ended.err
    return folder


@pytest.mark.extras
@pytest.mark.usefixtures("offline")
def test_mlflow_has_parameters_and_metrics_of_a_resumed_run() -> None:
    for package in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(package)
    from mlflow.tracking import MlflowClient

    folder = run_twice("logger=[csv,mlflow]")
    client = MlflowClient(f"sqlite:///{Path('outputs/mlflow.db').absolute()}")
    experiment = client.get_experiment_by_name("imdb")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (folder / "mlflow_run_id.txt").read_text().strip() == run.info.run_id
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "sample-mine"
    assert run.data.params["model.hidden_size"] == "4"
    assert run.data.params["seed"] == "1"
    results = results_of(folder)
    for name in ("test/accuracy", "test/loss", "parameters"):
        assert run.data.metrics[name] == pytest.approx(results[name])
    assert run.data.metrics["best/val/accuracy"] == pytest.approx(results["val/accuracy"])
    assert {point.step for point in client.get_metric_history(run.info.run_id, "train/loss")} == {0, 1, 2}


@pytest.mark.extras
@pytest.mark.usefixtures("offline")
def test_mlflow_gets_one_run_of_two_processes() -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    ended = train(*TINY, "trainer=ddp_cpu", "logger=mlflow", "callbacks=[default,ema]", "task.data.batch_size=8")
    assert ended.code == 0, ended.err
    client = MlflowClient(f"sqlite:///{Path('outputs/mlflow.db').absolute()}")
    experiment = client.get_experiment_by_name("imdb")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 1


@pytest.mark.extras
@pytest.mark.usefixtures("offline")
def test_mlflow_store_that_cannot_be_used_is_one_sentence() -> None:
    pytest.importorskip("mlflow")
    error = error_of(train(*TINY, "logger=mlflow", "logger.mlflow.tracking_uri=nowhere://x"))
    assert "nowhere://x cannot be used" in error


@pytest.mark.extras
@pytest.mark.usefixtures("offline")
def test_deleted_mlflow_run_starts_a_new_run() -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    with stopped(stop_signal, "on_train_batch_end", 2):
        train(*TINY, *OFTEN, "logger=mlflow", "name=mine")
    (folder,) = Path("outputs/imdb/lstm").iterdir()
    store = f"sqlite:///{Path('outputs/mlflow.db').absolute()}"
    MlflowClient(store).delete_run((folder / "mlflow_run_id.txt").read_text().strip())
    ended = train(f"resume={folder}")
    assert ended.code == 0, ended.err
    assert "a new one is started" in ended.err


@pytest.mark.extras
@pytest.mark.usefixtures("offline")
def test_wandb_continues_its_run_offline() -> None:
    pytest.importorskip("wandb")
    folder = run_twice("logger=wandb")
    run_id = (folder / "wandb_run_id.txt").read_text().strip()
    files = sorted((folder / "wandb").glob(f"offline-run-*/run-{run_id}.wandb"))
    assert len(files) == 2, "one for each process"
    names = {b"model.hidden_size", b"test/accuracy", b"best/val/accuracy", b"train/loss"}
    deadline = time.monotonic() + 60  # W&B's own process writes the file
    while missing := {name for name in names if not any(name in file.read_bytes() for file in files)}:
        assert time.monotonic() < deadline, missing
        time.sleep(0.2)


@pytest.mark.extras
def test_error_of_a_service_is_one_sentence() -> None:
    pytest.importorskip("mlflow")
    target = "pytorch_lightning.loggers.MLFlowLogger"
    error = error_of(train(*TINY, f"+logger.x={{_target_: {target}, tracking_uri: 'nowhere://x'}}"))
    assert "logger.x cannot be built: Model registry functionality is unavailable" in error


@pytest.mark.parametrize(("logger", "package"), [("wandb", "wandb"), ("many", "mlflow")])
def test_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch, logger: str, package: str) -> None:
    found = importlib.util.find_spec
    hidden = ("mlflow", "wandb")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in hidden else found(name, *rest))
    error = error_of(train(*TINY, f"logger={logger}"))
    assert f"logger.{package} needs the package {package}: pip install 'sluice-rnn[{package}]'" in error


class Recorder(Logger):
    """A logger from outside Sluice."""

    name, version = "recorder", "1"

    def __init__(self) -> None:
        super().__init__()
        self.params: dict[str, object] = {}
        self.metrics: dict[str, float] = {}
        MADE.append(self)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, object]) -> None:  # type: ignore[override]
        self.params |= params

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.metrics |= metrics


MADE: list[Recorder] = []


@pytest.mark.slow
def test_every_logger_gets_settings_and_final_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    at_start: list[dict[str, object]] = []

    def on_train_start(self: TrainingMonitor, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        at_start.append(dict(MADE[-1].params))

    monkeypatch.setattr(TrainingMonitor, "on_train_start", on_train_start)
    ended = train(*TINY, "logger=none", f"+logger.mine._target_={__name__}.Recorder", "name=mine")
    assert ended.code == 0, ended.err
    (folder,) = Path("outputs/imdb/lstm").iterdir()
    results = results_of(folder)
    assert at_start[0]["model.hidden_size"] == 4
    assert MADE[-1].metrics["test/accuracy"] == results["test/accuracy"]
    assert MADE[-1].metrics["best/val/accuracy"] == results["val/accuracy"]
