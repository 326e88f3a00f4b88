"""hydra/sweeper=optuna maximises or minimises the monitored metric as the task does, and reports the best trial."""

import importlib.util
from pathlib import Path

import pytest
import yaml

from running import TINY, error_of, results_of, runs_below, train

pytestmark = [pytest.mark.extras, pytest.mark.usefixtures("workdir")]
if importlib.util.find_spec("hydra_plugins") is None or not importlib.util.find_spec(
    "hydra_plugins.hydra_optuna_sweeper"
):
    pytest.skip("hydra-optuna-sweeper is not installed", allow_module_level=True)
SEARCH = ("-m", *TINY, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3")
RATES = "optimizer.lr=choice(0.0001,0.3)"


def best_trial() -> dict[str, object]:
    (path,) = Path("outputs/multirun").rglob("best_trial.yaml")
    found: dict[str, object] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    ("monitor", "mode", "best"), [("val/loss", "min", min), ("val/accuracy", "max", max)], ids=["loss", "accuracy"]
)
def test_best_trial_is_printed_and_stored(monitor: str, mode: str, best: type[min]) -> None:
    ended = train(*SEARCH, RATES, f"task.monitor={monitor}", f"task.mode={mode}")
    assert ended.code == 0, ended.err
    values = [results_of(folder)[monitor] for folder in runs_below(Path("outputs"))]
    assert len(values) == 3
    stored = best_trial()
    assert stored["value"] == pytest.approx(best(values))
    assert results_of(Path(str(stored["run"])))[monitor] == pytest.approx(best(values))
    assert f"Best trial: {monitor} {stored['value']:.4f} with optimizer.lr=" in ended.out


def test_failed_trials_do_not_end_the_search() -> None:
    ended = train(*SEARCH, "model.dropout=choice(0.0,1.5)", "hydra.sweeper.n_trials=4")
    assert ended.code == 2
    assert "cannot be used: it must be at least 0 and below 1" in ended.err
    assert 0 < int(str(best_trial()["failed"])) < 4 == best_trial()["trials"]


def test_search_without_a_finished_trial_is_one_sentence() -> None:
    ended = train(*SEARCH, "model.dropout=choice(1.5,1.6)")
    assert ended.err.splitlines()[-1].startswith("sluice: no trial of the search finished")


def test_direction_cannot_be_chosen() -> None:
    error = error_of(train(*SEARCH, RATES, "hydra.sweeper.direction=minimize"))
    assert "cannot be set: the direction follows task.mode" in error


def test_wrong_direction_in_a_file_is_refused() -> None:
    folder = Path("myconf/hparams_search")
    folder.mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /hydra/sweeper: optuna\nhydra:\n  sweeper:\n"
    (folder / "wrong.yaml").write_text(f"{text}    direction: minimize\n", encoding="utf-8")
    error = error_of(train("-m", "-cd", "myconf", *TINY, "hparams_search=wrong", RATES))
    assert "hydra.sweeper.direction=minimize cannot be used with task.monitor=val/accuracy" in error
    assert not Path("outputs/imdb").exists()


def test_search_over_the_monitored_metric_is_refused() -> None:
    error = error_of(train(*SEARCH, "task.monitor=choice(val/accuracy,val/f1)", "seed=5", "hydra.sweeper.n_trials=9"))
    assert "the trials have the objectives" in error


def test_example_search_runs_without_m(monkeypatch: pytest.MonkeyPatch) -> None:
    small = [setting for setting in TINY if not setting.startswith("model.hidden_size")]
    ended = train(*small, "hparams_search=optuna", "hydra.sweeper.n_trials=1")
    assert ended.code == 0, ended.err
    assert set(best_trial()["settings"]) == {"optimizer.lr", "model.hidden_size", "model.input_dropout"}  # type: ignore[call-overload]


def test_storage_that_cannot_be_used_is_one_sentence() -> None:
    pytest.importorskip("sqlalchemy", "2.0")
    error = error_of(train(*SEARCH, RATES, "hydra.sweeper.storage='sqlite:///study.db'", "hydra.sweeper.study_name=a"))
    assert "hydra.sweeper.storage cannot be used with SQLAlchemy 2" in error
