"""Contents of the --help texts, and that --help loads no heavy library."""

import subprocess
import sys

import pytest
import yaml

from running import CONF, sluice, train
from sluice.cli.main import app

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
    listed = help_text.split("Groups:")[1].split("Settings:")[0]
    options = [line for line in listed.splitlines() if line.startswith("    ")]
    assert len(options) > 20
    assert [line for line in options if len(line.split()) < 2] == []


@pytest.mark.parametrize(
    "words",
    [
        "seed=1 ",
        "paths.data_dir=",
        "paths.output_dir=",
        "init_from=null",
        "model.hidden_size=${task.recurrent.hidden_size} units per layer and direction (at least 1 and",
        "embedding.word_dropout=",
        "task.pooling=max_mean",
        "(one of last, max, mean, max_mean, attention)",
        "task.data.source=auto",
        "task.data.text_column=text",
        "task.text.min_freq=",
        "python train.py -m model=rnn,gru,lstm seed=1,2,3",
    ],
)
def test_settings_are_listed_with_description_and_range(help_text: str, words: str) -> None:
    assert words in " ".join(help_text.split())


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


def test_cfg_job_prints_the_config_without_training() -> None:
    ended = train("model=gru", "seed=7", "--cfg", "job")
    assert ended.code == 0
    assert "cell: gru" in ended.out
    assert "seed: 7" in ended.out


def test_bench_lengths_compares_dense_and_packed() -> None:
    small = ("--batch-size", "2", "--steps", "5", "--shortest", "3", "--input-size", "2", "--hidden-size", "3")
    ended = sluice("bench", "lengths", *small, "--runs", "1", "--json")
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 4, "two cells in one and two directions"
    assert all(word in ended.out for word in ("lstm", "gru", "packed", "dense"))


def test_defaults_are_those_of_the_task_files(help_text: str) -> None:
    for file in (CONF / "task").glob("*.yaml"):
        chosen = yaml.safe_load(file.read_text(encoding="utf-8"))
        section = help_text.partition(f"  with task={file.stem}\n")[2].partition("\n\n")[0]
        assert f"task.max_epochs={chosen.get('max_epochs', '')}" in section
