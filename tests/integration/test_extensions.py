"""The cell, optimizer, schedules, callback and logger of docs/extending.md, each in files outside the package."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from run_differences import rows_of
from running import CONF, SAMPLE, SMALL, Ended, error_of, sluice, train

PAGE = (CONF.parent / "docs" / "extending.md").read_text(encoding="utf-8")
TINY = (*SAMPLE, *SMALL, "trainer.log_every_n_steps=1", "task.data.batch_size=16")
RUNS = Path("outputs/imdb/lstm")


def section(heading: str) -> str:
    """The text from a heading to the next one."""
    return re.split(rf"^#+ {re.escape(heading)}$", PAGE, flags=re.MULTILINE)[1].split("\n##")[0]


def commands(heading: str) -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", section(heading), re.DOTALL)
    return [shlex.split(line.removeprefix("$ ")) for block in blocks for line in block.splitlines()]


def write_files(heading: str) -> None:
    """Writes the files of a section to the working directory."""
    for name, content in re.findall(r"^`(\S+\.(?:py|yaml))`:\n\n```\w+\n(.*?)```", section(heading), re.M | re.S):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content, encoding="utf-8")


@pytest.fixture
def outside(workdir: Path, monkeypatch: pytest.MonkeyPatch, custom_code_unregistered: None) -> Iterator[Path]:
    """The working directory, from which modules can be imported."""
    monkeypatch.syspath_prepend(str(workdir))
    yield workdir
    for name in [name for name in sys.modules if name.startswith("mine_")]:
        del sys.modules[name]


def run(arguments: list[str], *more: str) -> Ended:
    ended = train(*arguments[2:], *TINY, *more) if arguments[0] == "python" else sluice(*arguments[1:])
    assert ended.code == 0, ended.err
    return ended


@pytest.mark.slow
@pytest.mark.usefixtures("outside")
def test_documented_cell_trains_and_predicts() -> None:
    heading = "A cell of your own"
    write_files(heading)
    training, predicting = commands(heading)
    run(training)
    predicting = [part.replace("minimal/first", "minimal/sample-first") for part in predicting]
    assert run(predicting).out.split()[0] in ("pos", "neg")


@pytest.mark.slow
@pytest.mark.usefixtures("outside")
def test_documented_optimizer_trains() -> None:
    write_files("An optimizer")
    (training,) = commands("An optimizer")
    run(training)
    rates = [float(row["train/learning_rate"]) for row in rows_of(RUNS / "sample-lion") if "train/learning_rate" in row]
    assert max(rates) == pytest.approx(3e-4, rel=0.01)


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    "number", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 2, 3))], ids=str
)
def test_documented_schedules_train(number: int) -> None:
    write_files("A learning-rate schedule")
    training = commands("A learning-rate schedule")[number]
    run(training, "trainer.max_epochs=4")
    (folder,) = RUNS.iterdir()
    rates = [float(row["train/learning_rate"]) for row in rows_of(folder) if "train/learning_rate" in row]
    assert len(rates) == 12
    assert len(set(rates)) > 2 or "plateau" in folder.name


@pytest.mark.slow
@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("number", [0, 1])
def test_documented_callback_logs(number: int) -> None:
    write_files("A callback")
    run(commands("A callback")[number])
    (folder,) = RUNS.iterdir()
    assert any("train/vector_norm" in row for row in rows_of(folder))


@pytest.mark.usefixtures("outside")
def test_documented_logger_gets_settings_and_metrics() -> None:
    write_files("A logger")
    (training,) = commands("A logger")
    run(training)
    lines = [json.loads(line) for line in (RUNS / "sample-lines" / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["settings"]["model.hidden_size"] == 4
    assert {"test/accuracy", "best/val/accuracy", "parameters"} <= lines[-1].keys()


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["+callbacks.x._target_=mine_things.Wrong"], "it creates a Wrong, expected a Callback of pytorch_lightning"),
        (["optimizer._target_=mine_things.Wrong"], "it creates a Wrong, expected an Optimizer of torch"),
        (["+logger.x._target_=mine_things.Missing"], "it must be the dotted name of an installed class"),
        (["scheduler=constant", "+scheduler._target_=mine_things.nothing"], "it creates a NoneType, expected an LR"),
    ],
)
def test_wrong_class_is_one_sentence(settings: list[str], words: str) -> None:
    Path("mine_things.py").write_text("class Wrong: ...\n\ndef nothing(optimizer): ...\n", encoding="utf-8")
    assert words in error_of(train(*TINY, *settings))
