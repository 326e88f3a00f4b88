"""Invalid settings are reported in one sentence that names the valid ones."""

from pathlib import Path

import pytest

from running import TINY, error_of, joined, sluice, train, train_by_hydra

WHOLE_RUNS = [
    (["model=foo"], "there is no model=foo: there are gru, gru_reset_before, lstm"),
    (["--seed=1"], "there is no option --seed=1: settings are written key=value"),
    (["="], "key=value"),
    (["seed=1,2"], "seed=1,2 has several values: add -m for a sweep"),
    (["task.data.batch_size=x"], "task.data.batch_size=x cannot be used: it must be a whole number"),
    (["model.hidden_size=-1"], "model.hidden_size=-1 cannot be used: it must be at least 1"),
]
"""Rows that go through Hydra's command line; the other mistakes are in invalid_command_lines.txt."""
NEEDING_DATA = [
    (["task.monitor=val/foo"], "task.monitor=val/foo cannot be used: it must be one of val/loss, val/accuracy"),
    (["callbacks.early_stopping.monitor=val/foo"], "callbacks.early_stopping.monitor=val/foo cannot be used"),
    (["task.monitor=val/loss"], "task.monitor=val/loss cannot be combined with task.mode=max: set it to min"),
    (["task.text.min_freq=100000"], "min_freq=100000 leaves no word in the vocabulary"),
    (["task.class_weights={neg: 1}"], "a weight for each of neg, pos"),
    (["trainer.limit_val_batches=0.001"], "trainer.limit_val_batches=0.001 is less than one batch, the split has 1"),
]


def overridden(overrides: list[str]) -> list[str]:
    """The settings of a tiny run with `overrides` applied."""
    keys = {override.lstrip("+").split("=")[0] for override in overrides}
    return [*(setting for setting in TINY if setting.split("=")[0] not in keys), *overrides]


@pytest.mark.usefixtures("workdir")
@pytest.mark.parametrize(("overrides", "words"), [*WHOLE_RUNS, *NEEDING_DATA], ids=joined)
def test_invalid_setting_is_reported(overrides: list[str], words: str) -> None:
    assert words in error_of(train_by_hydra(*overridden(overrides)))


@pytest.mark.usefixtures("workdir")
@pytest.mark.parametrize(("overrides", "words"), [WHOLE_RUNS[0], *WHOLE_RUNS[4:]], ids=joined)
def test_prepare_reports_the_same_errors(overrides: list[str], words: str) -> None:
    assert words in error_of(sluice("prepare", *overrides))


@pytest.mark.usefixtures("workdir")
def test_missing_gpu_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    settings = [setting for setting in TINY if not setting.startswith("trainer.")]
    error = error_of(train(*settings, "trainer=gpu"))
    assert "trainer.accelerator=gpu cannot be used: no CUDA GPU is available; use trainer=cpu" in error


def test_existing_run_name_is_refused(workdir: Path) -> None:
    assert train(*TINY, "name=mine").code == 0
    results = workdir / "outputs" / "imdb" / "lstm" / "sample-mine" / "results.json"
    before = results.read_bytes()
    error = error_of(train(*TINY, "name=mine", "seed=2"))
    assert f"{results.parent} already contains a run: choose another name=" in error
    assert results.read_bytes() == before


def test_invalid_setting_is_reported_before_writing(workdir: Path) -> None:
    for overrides in (["model.hidden_size=-1"], ["trainer.max_epochs=0"], ["task.pooling=foo"]):
        error_of(train(*overridden(overrides)))
    assert not (workdir / "data" / "cache").exists()
    assert not list(workdir.rglob("config.yaml"))


def test_traceback_is_shown_on_request(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_TRACEBACK", "1")
    with pytest.raises(ValueError, match="there is no model=foo"):
        train("model=foo")


def test_launcher_without_slurm_is_reported(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setenv("PATH", str(workdir))
    error = error_of(train_by_hydra("-m", *TINY, "hydra/launcher=submitit_slurm"))
    assert "the launcher cannot submit the jobs" in error


def test_interpolation_is_stored_and_resolved(workdir: Path) -> None:
    assert train_by_hydra(*TINY, "seed=${task.max_epochs}", "name=mine").code == 0
    (folder,) = (workdir / "outputs" / "imdb" / "lstm").iterdir()
    assert "seed=${task.max_epochs}" in (folder / "overrides.yaml").read_text()
    assert "seed: 3" in (folder / "config.yaml").read_text()


def test_options_of_the_trainer_are_honoured(workdir: Path) -> None:
    ended = train(*TINY, "trainer.profiler=simple", "+trainer.enable_progress_bar=false", "name=mine")
    assert ended.code == 0
    assert "FIT Profiler Report" in ended.out
    assert "TEST Profiler Report" in ended.out
    assert list(workdir.rglob("fit-profile.txt"))


@pytest.mark.slow
@pytest.mark.parametrize("option", ["debug=profiler", "trainer.profiler=advanced"])
def test_profilers_print_their_reports(workdir: Path, option: str) -> None:
    ended = train(*TINY, option)
    assert ended.code == 0
    assert "Profiler Report" in ended.out
    assert "run_training_batch" in ended.out


def test_home_folder_is_expanded(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(workdir))
    assert train(*TINY, "paths.output_dir='~/runs'", "name=mine").code == 0
    assert (workdir / "runs" / "imdb" / "lstm" / "sample-mine" / "results.json").exists()


def test_sweep_without_runs_is_reported(workdir: Path) -> None:
    assert "the sweep has no runs" in error_of(train_by_hydra("-m", *TINY, "seed=range(0)"))


@pytest.mark.parametrize(("name", "value"), [("RANK", "x"), ("WORLD_SIZE", "0"), ("SLURM_PROCID", "-1")])
def test_invalid_launcher_variable_is_reported(
    name: str, value: str, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv(name, value)
    ended = train_by_hydra(*TINY)
    assert (ended.code, ended.out) == (2, "")
    assert f"the environment variable {name}={value} is not a whole number" in ended.err


def test_prepare_checks_the_settings_of_training(workdir: Path) -> None:
    for setting, words in (
        ("optimizer.lr=foo", "must be a number"),
        ("trainer.max_epochs=0", "must be a whole number"),
    ):
        assert words in error_of(sluice("prepare", *TINY, setting))
