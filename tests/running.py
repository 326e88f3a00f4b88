"""Runs the commands of the command line within the test process."""

import json
import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.cli.train import Failure, _import_named_code, _job, _resume_older, _run_hydra, main
from sluice.composition.compose import compose_config
from sluice.composition.errors import explained
from sluice.composition.given import check_given, check_overrides
from sluice.config.user_code import TASK
from sluice.exit_codes import INTERRUPTED, exit_on_user_error
from sluice.training import run as training
from sluice.training.stored_settings import resume_arguments

CONF = Path(__file__).resolve().parents[1] / "conf"

SMALL = ("trainer.accelerator=cpu", "model.hidden_size=4", "embedding.size=4", "debug=fast")
SAMPLE = ("task.data.source=sample", "task.data.sample_size=60")
TINY = (*SAMPLE, *SMALL)
"""A run of half a second."""

ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]
"""Hydra copies its store for each composition, a quarter of the time, although `ConfigStore.load` returns copies."""


@dataclass(frozen=True)
class Ended:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Finished:
    """A successful run."""

    home: Path
    folder: Path
    results: dict[str, Any]
    ended: Ended

    @classmethod
    def found(cls, home: Path, ended: Ended) -> "Finished":
        """The only run below `home`."""
        folder = only_run(home)
        return cls(home, folder, results_of(folder), ended)


def paths_in(home: Path) -> tuple[str, ...]:
    """Settings of the data, cache and output folders below `home`."""
    return tuple(f"paths.{name}_dir={home / name}" for name in ("data", "cache", "output"))


def chooses_group(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return "/" in key or "@" in key or (CONF / key).is_dir()


@cache
def _composed(settings: tuple[str, ...]) -> bytes:
    return pickle.dumps(compose_config(list(settings), CONF))


def compose_after(settings: Sequence[str], overrides: Sequence[str]) -> DictConfig:
    """Composes `settings` and each choice of groups once per process, and merges the other overrides, as Hydra does."""
    groups = [override for override in overrides if chooses_group(override)]
    rest = [override for override in overrides if override not in groups]
    if "~" in "".join(groups) or not rest:
        return compose_config([*settings, *overrides], CONF)
    config: DictConfig = pickle.loads(_composed((*settings, *groups)))  # faster than a deep copy
    with explained(overrides):
        ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides(rest), config)
    return config


def compose_quickly(overrides: Sequence[str]) -> DictConfig:
    """`compose_config` that composes each choice of groups once per process.

    Tasks of user files are composed anew.
    """
    if any(override.lstrip("+").startswith(f"{TASK}=") for override in overrides):
        return compose_config(list(overrides), CONF)
    check_overrides(overrides)
    groups = [override for override in overrides if chooses_group(override)]
    config = compose_after(groups, [override for override in overrides if override not in groups])
    check_given(config, overrides)
    return config


NEEDS_HYDRA = ("-", "hydra", "${")
"""An argument that starts with one of these, or contains `${`, needs Hydra's own command line."""
IN_RUN_MODE = "hydra.mode=RUN"
"""Hydra's default outside sweeps, which `resume_arguments` adds."""


def needs_hydra(arguments: Sequence[str]) -> bool:
    return any(argument.startswith(NEEDS_HYDRA) or "${" in argument for argument in arguments)


def train(*overrides: str) -> Ended:
    """python train.py ...

    Plain arguments are composed without Hydra's application, which is slower than a small run.
    """
    return _train(overrides, main if needs_hydra(overrides) else _compose_and_train)


def train_by_hydra(*overrides: str) -> Ended:
    """The same, always through Hydra's application."""
    return _train(overrides, main)


def _compose_and_train(conf: Path) -> None:
    with exit_on_user_error():
        _import_named_code(sys.argv[1:])
        if any("resume" in argument for argument in sys.argv[1:]):
            if _resume_older(conf):
                return
            sys.argv[1:] = resume_arguments(sys.argv[1:], conf)
        overrides = [argument for argument in sys.argv[1:] if argument != IN_RUN_MODE]
        if needs_hydra(overrides):
            _run_hydra(conf)
            return
        failures = list[Failure]()
        _job(failures, compose_quickly(overrides), None, overrides)
        if failures:
            raise failures[0].error


def _train(overrides: tuple[str, ...], run: Callable[[Path], None]) -> Ended:
    out, err, code = StringIO(), StringIO(), 0
    with patch.object(sys, "argv", ["train.py", *overrides]), redirect_stdout(out), redirect_stderr(err):
        try:
            run(CONF)
        except SystemExit as ending:
            code = int(ending.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


def train_composed(config: DictConfig) -> Ended:
    """Trains with a composed configuration."""
    out, err, code = StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            with exit_on_user_error():
                training.train(config)
        except training.Interrupted:
            code = INTERRUPTED
        except SystemExit as ending:
            code = int(ending.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


def trained(home: Path, *overrides: str) -> Finished:
    """Trains the only run below `home`, which must succeed."""
    ended = train(*overrides, *paths_in(home))
    assert ended.code == 0, ended.err
    return Finished.found(home, ended)


def sluice(*arguments: str | Path, stdin: str | bytes | None = None) -> Ended:
    """sluice ...; exceptions other than SystemExit are raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


def error_of(ended: Ended) -> str:
    """The error message, one line, of a command that failed with exit code 2."""
    lines = ended.err.splitlines()
    assert ended.code == 2, ended
    assert "Traceback" not in ended.out + ended.err
    assert sum(line.startswith("sluice: ") for line in lines) == 1, ended.err
    assert lines[-1].startswith("sluice: "), ended.err
    return lines[-1]


def json_lines(ended: Ended) -> list[dict[str, Any]]:
    """The parsed output of a command with --json."""
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.split("\n") if line]


def joined(value: object) -> str | None:
    """Test id of a list or tuple of arguments."""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else None


def runs_below(folder: Path) -> list[Path]:
    """Folders of all runs with results."""
    return sorted(results.parent for results in folder.rglob("results.json"))


def only_run(folder: Path) -> Path:
    """The folder of the single run."""
    (run,) = runs_below(folder)
    return run


def results_of(run: Path) -> dict[str, Any]:
    """results.json of a run."""
    results: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return results


def write_table(path: Path, rows: list[tuple[str, str]]) -> Path:
    """Writes a CSV file with the columns text and label."""
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8")
    return path


def three_classes(path: Path, each: int = 12) -> Path:
    """Writes a table of texts in which one word determines the class; the classes are imbalanced."""
    words = {"bad": "awful", "good": "great", "so": "plain"}
    numbers = {"bad": each, "good": each // 2, "so": each // 3}
    rows = [(f"it was {words[name]} number {i}", name) for name, number in numbers.items() for i in range(number)]
    return write_table(path, rows)
