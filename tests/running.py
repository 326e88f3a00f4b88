"""Running the commands inside the test process, as a person would in a terminal."""

import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.cli.train import main

CONF = Path(__file__).resolve().parents[1] / "conf"

SAMPLE = ("task.data.source=sample", "task.data.sample_size=60", "trainer.accelerator=cpu")
TINY = (*SAMPLE, "model.hidden_size=4", "embedding.size=4", "debug=fast")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def train(*overrides: str) -> Ended:
    """python train.py ..."""
    out, err, code = StringIO(), StringIO(), 0
    with patch.object(sys, "argv", ["train.py", *overrides]), redirect_stdout(out), redirect_stderr(err):
        try:
            main(CONF)
        except SystemExit as ending:
            code = int(ending.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


def sluice(*arguments: str | Path, stdin: str | None = None) -> Ended:
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
    assert [line.startswith("sluice: ") for line in lines].count(True) == 1, ended.err
    assert lines[-1].startswith("sluice: "), ended.err
    return lines[-1]


def only_run(output_dir: Path) -> Path:
    """The folder of the single run below outputs/."""
    (results,) = output_dir.rglob("results.json")
    return results.parent
