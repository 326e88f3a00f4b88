"""Every mistake on a command line is reported in one sentence, before data are read where none are needed.

The table is `invalid_command_lines.txt`. A row of train.py starts from the composed configuration of a small run of its
task and merges the settings into it, as Hydra does; only rows that choose groups are composed anew.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pytest

from running import Ended, compose_after, error_of, paths_in, runs_below, sluice, train, train_by_hydra
from sluice.exit_codes import exit_on_user_error
from sluice.training import run as training
from small_configs import TASKS, small, write_own_files

TABLE = Path(__file__).with_name("invalid_command_lines.txt")
OPTIONAL = {"WandbLogger": "wandb", "MLFlowLogger": "mlflow"}
FEWEST_ROWS = 300


def rows() -> Iterator[tuple[str, str, bool]]:
    """Yields the command line, the words of its error, and whether it is reported only once the data are read."""
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            command, arrow, words = re.split(" (->|=>) ", line, maxsplit=1)
            yield command, words, arrow == "=>"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    write_own_files(folder)
    for name, content in {"empty.txt": b"", "nul.txt": b"a\0b\n", "latin.txt": "é\n".encode("latin-1")}.items():
        (folder / name).write_bytes(content)
    (folder / "vectors3.txt").write_text("good 1 2 3\n", encoding="utf-8")
    (folder / "text.txt").write_text("it was good\n", encoding="utf-8")
    (folder / "table.csv").write_text("text,label\ngood,pos\n", encoding="utf-8")
    (folder / "tags.tsv").write_text("good\tADJ\n\nbad\tADJ\n", encoding="utf-8")
    (folder / "folder").mkdir()
    return folder


def settings_of(home: Path, task: str) -> list[str]:
    return [f"task={task}", "debug=fast", "trainer.accelerator=cpu", *small(home, task), *paths_in(home / task)]


def train_with(home: Path, task: str, overrides: list[str]) -> Ended:
    out, err, code = StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            with exit_on_user_error():
                training.train(compose_after(settings_of(home, task), overrides), overrides=overrides)
        except SystemExit as ending:
            code = int(ending.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def runs(home: Path) -> dict[str, Path]:
    """A small run of each task that the other commands need."""
    found = {}
    for task in ("imdb", "corpus", "multi30k"):
        assert train(*settings_of(home, task)).code == 0
        (found[task],) = runs_below(home / task)
    return found


TRAINING = [row for row in rows() if not row[0].startswith("sluice ")]
TRAINING_ROWS = [
    pytest.param(*row, id=row[0], marks=[pytest.mark.slow] * (index % 2)) for index, row in enumerate(TRAINING)
]
"""Every second row of train.py is slow, since together they take a tenth of the time of the plain tests."""
OTHERS = [(command, words) for command, words, _ in rows() if command.startswith("sluice ")]


def test_table_is_large_and_has_no_row_twice() -> None:
    commands = [command for command, *_ in rows()]
    assert len(set(commands)) == len(commands) >= FEWEST_ROWS
    assert all(words for _, words, _ in rows())


@pytest.mark.parametrize(("command", "words", "needs_data"), TRAINING_ROWS)
def test_invalid_settings_are_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: str, needs_data: bool
) -> None:
    monkeypatch.chdir(home)
    if any(logger in command and find_spec(package) for logger, package in OPTIONAL.items()):
        pytest.skip("the row is for a machine without the optional package")
    task, *settings = shlex.split(command)
    if task == "train.py":
        assert words in error_of(train_by_hydra(*settings))
        return
    if task not in TASKS:
        task, settings = "imdb", [task, *settings]
    ended = train_with(home, task, settings)
    assert words in error_of(ended)
    assert ("Data of task=" in ended.err) == needs_data


@pytest.mark.parametrize(("command", "words"), OTHERS, ids=[command for command, _ in OTHERS])
def test_invalid_options_are_one_sentence(
    home: Path, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, command: str, words: str
) -> None:
    monkeypatch.chdir(home)
    _, *arguments = shlex.split(command)
    named = {f"{{{task}}}": str(run) for task, run in runs.items()}
    assert words in error_of(sluice(*(named.get(argument, argument) for argument in arguments)))
