"""The command that messages name."""

import shlex
import sys

import pytest

from sluice.program import LAUNCHED, STARTED_BY, record_training_command, training_command, training_command_line


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STARTED_BY, "")


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("train.py", "python train.py"),
        ("../my checkout/train.py", "python '../my checkout/train.py'"),
        ("/venv/bin/sluice", "sluice train"),
        ("C:/venv/Scripts/sluice.exe", "sluice train"),
        ("/venv/lib/python3.11/site-packages/sluice/__main__.py", "python -m sluice train"),
        ("/venv/lib/python3.11/site-packages/pytest/__main__.py", "sluice train"),
    ],
)
def test_command_is_the_one_that_was_run(monkeypatch: pytest.MonkeyPatch, program: str, command: str) -> None:
    monkeypatch.setattr(sys, "argv", [program, "seed=2"])
    assert training_command() == command


@pytest.mark.parametrize(("program", "line"), [("a/train.py", "train.py seed=2"), ("sluice", "sluice train seed=2")])
@pytest.mark.parametrize("variable", [LAUNCHED, "SUBMITIT_EXECUTOR"])
def test_children_report_the_command_of_their_parent(
    monkeypatch: pytest.MonkeyPatch, program: str, line: str, variable: str
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "seed=2"])
    record_training_command()
    command = training_command()
    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(sys, "argv", ["worker.py", "launch.yaml"])
    record_training_command()
    assert training_command() == command
    assert training_command_line() == line
    assert shlex.split(command)[-1] == ("train" if program == "sluice" else program)


def test_job_without_a_record_names_sluice_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    assert training_command() == training_command_line() == "sluice train"
