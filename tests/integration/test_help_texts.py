"""Contents of the --help texts, and that --help loads no heavy library."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from running import CONF, error_of, json_lines, sluice, train
from sluice.cli.main import app
from sluice.cli.settings_help import Described
from sluice.composition.compose import flat
from sluice.config.fields import MISSING, shown
from sluice.config.schema import TASK_SCHEMAS

GROUPS = (
    "task",
    "model",
    "embedding",
    "optimizer",
    "scheduler",
    "trainer",
    "callbacks",
    "logger",
    "experiment",
    "hparams_search",
    "debug",
)


@pytest.fixture(scope="module")
def help_text() -> str:
    """python train.py --help"""
    ended = train("--help")
    assert (ended.code, ended.err) == (0, "")
    return ended.out


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_of_a_group_is_listed(help_text: str, group: str) -> None:
    section = help_text.split(f"\n  {group}=")[1].split("\n\n")[0]
    options = [line.split()[0] for line in section.splitlines()[1:]]
    assert options == sorted(file.stem for file in (CONF / group).glob("*.yaml"))
    assert len(options) > 0


def test_every_option_has_a_description(help_text: str) -> None:
    listed = help_text.split("Groups:")[1].split("Settings of every run:")[0]
    options = [line for line in listed.splitlines() if line.startswith("    ")]
    assert len(options) > 20
    assert [line for line in options if len(line.split()) < 2] == []


def test_help_is_one_page_of_80_columns(help_text: str) -> None:
    lines = help_text.splitlines()
    assert len(lines) < 150
    assert [line for line in lines if len(line) > 80] == []
    assert sum(line.startswith("  python train.py ") for line in lines) == 10
    assert [
        word for word in ("seed", "name", "resume", "init_from", "paths.*") if f"\n  {word} " not in help_text
    ] == []


def listed_settings(text: str) -> dict[str, str]:
    """The settings of a help text and their values."""
    pairs = re.findall(r"^  ([\w.]+)=(\S*)(?: +(\S.*))?$", text.partition("\n\n")[2], re.MULTILINE)
    assert [key for key, _, meaning in pairs if not meaning] == [], "every setting has a description"
    assert len({key for key, *_ in pairs}) == len(pairs)
    return {key: value for key, value, _ in pairs}


@pytest.mark.parametrize("task", TASK_SCHEMAS)
def test_help_of_a_task_is_its_configuration(task: str) -> None:
    printed = train(f"task={task}", "--cfg", "job", "--resolve")
    composed = flat(yaml.safe_load(printed.out))
    expected = {key: "" if value == MISSING else shown(value) for key, value in composed.items() if value != {}}
    ended = train(f"task={task}", "--help")
    assert (ended.code, ended.err) == (0, "")
    assert listed_settings(ended.out) == {key: value for key, value in expected.items() if "_partial_" not in key}


@pytest.mark.slow
@pytest.mark.parametrize("group", [group for group in GROUPS if group != "hparams_search"])
def test_help_of_every_option_describes_its_settings(group: str) -> None:
    for file in sorted((CONF / group).glob("*.yaml")):
        ended = train(f"{group}={file.stem}", "--help")
        assert (ended.code, ended.err) == (0, ""), file
        assert len(listed_settings(ended.out)) > 70


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["task=imdb"],
            "task.pooling=max_mean pooling over the outputs of all steps [one of last, max, mean, max_mean",
        ),
        (["task=imdb"], "Settings of python train.py task=imdb imdb: Sentiment of IMDB reviews"),
        (["task=reviews"], "task.data.path= table of training texts"),
        (
            ["task=imdb"],
            "model.hidden_size=128 units per layer and direction [at least 1 and at most 10000000, or a list",
        ),
        (["task=imdb"], "checkpoint.stop_signal=SIGUSR1 signal that makes the run save and stop [one of SIGUSR1,"),
        (["optimizer=sgd"], "optimizer.momentum=0.9 momentum factor"),
        (["experiment=awd_lstm_wikitext2"], "optimizer.weight_decay=1.2e-06 L2 penalty"),
        (["callbacks=[default,ema]"], "callbacks.ema.decay=0.999 weight of the average"),
        (["-m", "model=gru,lstm", "seed=3,4"], "Settings of python train.py model=gru seed=3"),
        (["scheduler=constant", "logger=none"], "scheduler=constant logger=none constant: Constant learning rate"),
        (["embedding=pretrained"], "embedding.path= pretrained vectors: a GloVe"),
        (["model.hidden_size=[3,4]"], "model.hidden_size=[3,4] units"),
    ],
)
def test_help_follows_the_command_line(arguments: list[str], words: str) -> None:
    assert words in " ".join(train(*arguments, "--help").out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["task.data.delay=3"], "it is a setting of the tasks copy, echo"),
        (["--nonsense"], "there is no option --nonsense"),
    ],
)
def test_help_reports_invalid_arguments(arguments: list[str], words: str) -> None:
    assert words in error_of(train(*arguments, "--help"))


def test_help_includes_a_user_configuration(tmp_path: Path) -> None:
    files = {
        "task/mine.yaml": "# My own task\ndefaults: [temporal_order, _self_]\nmax_epochs: 77\n",
        "optimizer/slow.yaml": "# Slow\n_target_: torch.optim.SGD\n_partial_: true\nlr: 0.5  # my rate\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, encoding="utf-8")
    overview = train("-cd", str(tmp_path), "--help").out
    assert "    mine            My own task\n" in overview
    assert "    slow         Slow\n" in overview
    listed = " ".join(train("-cd", str(tmp_path), "task=mine", "optimizer=slow", "--help").out.split())
    assert "mine: My own task slow: Slow" in listed
    assert "trainer.max_epochs=77" in listed
    assert "optimizer.lr=0.5 my rate" in listed


def test_help_fits_a_terminal() -> None:
    setting = Described("a.key", "3", "some words " * 20)
    assert max(map(len, setting.lines(30, 80))) <= 80
    assert len(list(setting.lines(30, sys.maxsize))) == 1, "for grep"
    assert next(Described("a.long.key", "x" * 40, "words").lines(30, 80)).endswith("x")


COMMANDS = sorted(
    [
        "average",
        "compare",
        "doctor",
        "evaluate",
        "export",
        "generate",
        "inspect",
        "predict",
        "prepare",
        "score",
        "suggest",
        "train",
        "translate",
    ]
)


def test_sluice_lists_its_commands() -> None:
    ended = sluice("--help")
    assert ended.code == 0
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    assert sorted(names) == COMMANDS
    assert all(name in ended.out for name in (*names, "bench"))


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "train"])
def test_every_command_has_help(command: str) -> None:
    ended = sluice(command, "--help")
    assert ended.code == 0
    assert "--help" in ended.out
    assert len(ended.out.splitlines()) > 8


def test_help_imports_no_heavy_library() -> None:
    heavy = {"torch", "pytorch_lightning", "torchtext", "hydra", "tensorboard", "torchmetrics", "pandas"}
    script = f"import sys, sluice.cli.main, sluice.cli.train; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


def test_help_of_a_resumed_run_lists_its_settings(tmp_path: Path) -> None:
    stored = ["task=temporal_order", "task.level=hard", "embedding=onehot"]
    (tmp_path / "overrides.yaml").write_text(yaml.safe_dump(stored), encoding="utf-8")
    (tmp_path / "config.yaml").write_text(train(*stored, "--cfg", "job", "--resolve").out, encoding="utf-8")
    ended = train(f"resume={tmp_path}", "seed=3", "--help")
    assert ended.code == 0, ended.err
    assert {"task.level=hard", "embedding.kind=onehot", "seed=3"} <= set(ended.out.split())


def test_cfg_job_prints_the_config_without_training() -> None:
    ended = train("model=gru", "seed=7", "--cfg", "job")
    assert ended.code == 0
    assert "cell: gru" in ended.out
    assert "seed: 7" in ended.out


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory on Linux only")
def test_bench_prepare_counts_all_tokens() -> None:
    text, pairs = json_lines(sluice("bench", "prepare", "--megabytes", "1", "--pairs", "100", "--json"))
    assert text["tokens"] == pytest.approx(1e6 / 5.97, rel=0.2)  # words of five characters, and an end of each line
    assert pairs["tokens"] == 1_000 * 2 * (15 + 1 + 2) - 1_000  # words, full stop, marks; the source has no first one
    assert all(row[name] > 0 for row in (text, pairs) for name in ("seconds", "cpu_seconds", "peak_bytes"))


def test_bench_lengths_compares_dense_and_packed() -> None:
    small = ("--batch-size", "2", "--steps", "5", "--shortest", "3", "--input-size", "2", "--hidden-size", "3")
    ended = sluice("bench", "lengths", *small, "--runs", "1", "--json")
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 4, "two cells in one and two directions"
    assert all(word in ended.out for word in ("lstm", "gru", "packed", "dense"))
