"""Hostile files in a run folder and hostile names run no code and write no files elsewhere."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from running import TINY, Finished, error_of, paths_in, sluice, train
from sluice.composition.errors import explain
from sluice.errors import UserError
from sluice.runs.folder import run_folder, run_name

YAML_OBJECT = "!!python/object/apply:os.system [\"touch '{leak}'\"]\n"


@pytest.fixture
def run(finished: Finished, workdir: Path) -> Path:
    """A copy of the finished run without results, whose files are replaced."""
    folder = workdir / "outputs" / "imdb" / "lstm" / "sample-a"
    shutil.copytree(finished.folder, folder)
    (folder / "results.json").unlink()
    return folder


class Touches:
    """Runs a shell command when it is unpickled."""

    def __init__(self, leak: Path) -> None:
        self.leak = leak

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.leak}'",)


def yaml_object_as_settings(run: Path, leak: Path) -> None:
    (run / "config.yaml").write_text("task: " + YAML_OBJECT.format(leak=leak), encoding="utf-8")
    (run / "overrides.yaml").unlink()


def yaml_object_as_overrides(run: Path, leak: Path) -> None:
    (run / "overrides.yaml").write_text(YAML_OBJECT.format(leak=leak), encoding="utf-8")


def pickled_splits(run: Path, leak: Path) -> None:
    hostile = np.empty(1, dtype=object)
    hostile[0] = Touches(leak)
    np.savez(run / "splits.npz", train=hostile, val=hostile, test=hostile)


def evil_python_files(run: Path, leak: Path) -> None:
    for name in ("model_module.py", "task_module.py", "sitecustomize.py", "yaml.py", "sluice.py"):
        (run / name).write_text(f"import pathlib\npathlib.Path({str(leak)!r}).touch()\n", encoding="utf-8")


def add_overrides(run: Path, *lines: str) -> None:
    """Adds settings to the stored command line of a run."""
    path = run / "overrides.yaml"
    stored = [line for line in yaml.safe_load(path.read_text(encoding="utf-8")) if not line.startswith("paths.")]
    path.write_text(yaml.safe_dump([*stored, *lines]), encoding="utf-8")


def launcher_among_overrides(run: Path, leak: Path) -> None:
    made = leak.parent / "made_by_evil"
    add_overrides(run, "hydra/launcher=submitit_local", f"hydra.sweep.dir={made}", "hydra.mode=MULTIRUN")


def folders_among_overrides(run: Path, leak: Path) -> None:
    made = leak.parent / "made_by_evil"
    add_overrides(run, f"paths.cache_dir={made}", f"paths.output_dir={made}")


def folders_among_settings(run: Path, leak: Path) -> None:
    settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    existing = leak.parent / "existing"
    existing.mkdir()
    (existing / "a-b").mkdir()
    (existing / "a-b" / "meta.json").write_text("{}", encoding="utf-8")
    for name in ("cache_dir", "output_dir"):
        settings["paths"][name] = str(existing)
    settings["logger"]["csv"]["run_dir"] = settings["logger"]["tensorboard"]["run_dir"] = str(existing)
    (run / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (run / "overrides.yaml").unlink()


FOLDERS: tuple[Callable[[Path, Path], None], ...] = (
    *(yaml_object_as_settings, yaml_object_as_overrides, pickled_splits, evil_python_files),
    *(launcher_among_overrides, folders_among_overrides, folders_among_settings),
)


@pytest.mark.parametrize("attack", FOLDERS, ids=lambda attack: attack.__name__)
def test_hostile_run_folder_runs_no_code(
    attack: Callable[[Path, Path], None], run: Path, leak: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack(run, leak)
    monkeypatch.chdir(run)
    for ended in (sluice("evaluate", run, "--json"), sluice("predict", run, "a film"), train(f"resume={run}")):
        assert ended.code in (0, 2), ended
        assert "Traceback" not in ended.err
    existing = leak.parent / "existing"
    assert not existing.exists() or [found.name for found in existing.iterdir()] == ["a-b"]


RESULTS = (
    "[" * 100_000,
    '{"task": {"a": 1}}',
    json.dumps({"task": "imdb\x1b[2J", "model": "[link=file:///etc/passwd]x[/link]", "seed": "1"}),
    '{"task": "imdb", "model": "lstm", "seed": 1, "test/accuracy": "NaN", "date": 5}',
    "\x00\xff",
)


@pytest.mark.parametrize(
    "results", RESULTS, ids=["deep nesting", "dict as task", "escape sequences", "wrong types", "binary"]
)
def test_compare_handles_hostile_results(run: Path, results: str) -> None:
    (run / "results.json").write_text(results, encoding="utf-8")
    ended = sluice("compare", run)
    assert ended.code in (0, 2), ended
    assert "Traceback" not in ended.err


NAMES = (
    *("../evil", "/tmp/evil", "a/b", "..", ".", "", "-rf", "--help", "a b", "a\nb", "a\x1b[2Jb", "a'b", 'a"b', "a`id`"),
    *("$(id)", "${oc.env:HOME}", "*", "a?b", "[a]", "a;id", "a|id", "a&id", "a>b", "~", "a\\b", "a\x00b", "\u202eab"),
)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_hostile_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be used"):
        run_name(name, sample=False)
    for names in ((name, "lstm"), ("imdb", name)):
        with pytest.raises(UserError, match="cannot be used"):
            run_folder(Path("outputs"), *names, "a")


@pytest.mark.parametrize("setting", ["task.name=../evil", "model.name=../../evil", "name=../evil"])
def test_hostile_name_creates_no_folder(workdir: Path, leak: Path, setting: str) -> None:
    assert re.search("cannot be (used|set)", error_of(train(*TINY, setting, *paths_in(workdir))))
    assert not any(workdir.rglob("evil"))


def test_error_message_is_one_line() -> None:
    assert "\n" not in explain(ValueError("one\ntwo"))


SHAPES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "logger is a string": lambda settings: settings.update(logger="x"),
    "callbacks is a string": lambda settings: settings.update(callbacks="x"),
    "task is a number": lambda settings: settings.update(task=5),
    "task has no name": lambda settings: settings["task"].pop("name"),
    "name is a list": lambda settings: settings["task"].update(name=["a"]),
    "model is a string": lambda settings: settings.update(model="lstm"),
    "trainer is null": lambda settings: settings.update(trainer=None),
    "model is missing": lambda settings: settings.pop("model"),
}


@pytest.mark.parametrize("change", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("older", [False, True], ids=["with overrides.yaml", "without overrides.yaml"])
def test_malformed_config_is_reported(change: Callable[[dict[str, Any]], Any], older: bool, run: Path) -> None:
    settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    change(settings)
    (run / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    if older:
        (run / "overrides.yaml").unlink()
    ended = train(f"resume={run}")
    assert ended.code == (0 if "model" not in settings and not older else 2), ended
    assert "Traceback" not in ended.err


def test_run_with_a_null_logger_is_resumed(run: Path) -> None:
    settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    settings["logger"]["csv"] = None
    (run / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (run / "overrides.yaml").unlink()
    ended = train(f"resume={run}")
    assert ended.code == 0, ended.err
