"""Running the commands inside the test process, as a person would in a terminal."""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from omegaconf import DictConfig
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.cli.train import Failure, _import_named_code, _job, main
from sluice.config.compose import compose_config
from sluice.exit_codes import INTERRUPTED, exit_on_user_error
from sluice.training import run as training

CONF = Path(__file__).resolve().parents[1] / "conf"

SMALL = ("trainer.accelerator=cpu", "model.hidden_size=4", "embedding.size=4", "debug=fast")
SAMPLE = ("task.data.source=sample", "task.data.sample_size=60")
TINY = (*SAMPLE, *SMALL)
"""A run of half a second."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Finished:
    """A run that has ended well."""

    home: Path
    folder: Path
    results: dict[str, Any]
    ended: Ended

    @classmethod
    def found(cls, home: Path, ended: Ended) -> "Finished":
        """The only run below `home`."""
        folder = only_run(home)
        return cls(home, folder, results_of(folder), ended)


def places(home: Path) -> tuple[str, ...]:
    """Settings that keep everything below `home`."""
    return tuple(f"paths.{name}_dir={home / name}" for name in ("data", "cache", "output"))


NEEDS_HYDRA = ("-", "hydra", "resume=", "${")
"""What an argument has in it, at its beginning or anywhere, if Hydra's own command line is to read it."""


def train(*overrides: str) -> Ended:
    """python train.py ...

    A plain run is composed once, where Hydra's application composes twice and takes longer than a small run.
    """
    whole = any(argument.startswith(NEEDS_HYDRA) or "${" in argument for argument in overrides)
    return _train(overrides, main if whole else _compose_and_train)


def train_by_hydra(*overrides: str) -> Ended:
    """The same through Hydra's application, whatever the arguments are."""
    return _train(overrides, main)


def _compose_and_train(conf: Path) -> None:
    overrides, failures = sys.argv[1:], list[Failure]()
    with exit_on_user_error():
        _import_named_code(overrides)
        _job(failures, compose_config(overrides, conf), None, overrides)
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
    """What comes after Hydra has read the command line, which takes longer than a small run."""
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
    """A run of which no other lies below `home`; it must end well."""
    ended = train(*overrides, *places(home))
    assert ended.code == 0, ended.err
    return Finished.found(home, ended)


def sluice(*arguments: str | Path, stdin: str | bytes | None = None) -> Ended:
    """sluice ...; an exception that is no exit is passed on."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


def complaint(ended: Ended) -> str:
    """The one sentence with which a command ended because of a person's mistake."""
    lines = ended.err.splitlines()
    assert ended.code == 2, ended
    assert "Traceback" not in ended.out + ended.err
    assert sum(line.startswith("sluice: ") for line in lines) == 1, ended.err
    assert lines[-1].startswith("sluice: "), ended.err
    return lines[-1]


def json_lines(ended: Ended) -> list[dict[str, Any]]:
    """What a command with --json printed."""
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


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
    """A CSV file with the columns text and label."""
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8")
    return path


def three_classes(path: Path, each: int = 12) -> Path:
    """Texts in which one word gives the class away; the classes are not equally many."""
    words = {"bad": "awful", "good": "great", "so": "plain"}
    numbers = {"bad": each, "good": each // 2, "so": each // 3}
    rows = [(f"it was {words[name]} number {i}", name) for name, number in numbers.items() for i in range(number)]
    return write_table(path, rows)
