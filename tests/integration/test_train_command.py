"""`sluice train`, `python -m sluice train`, `sluice --version` and shell completion."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from processes import TRAIN, command
from running import SMALL, Ended, only_run, results_of, sluice
from sluice.version import __version__

MODULE = (sys.executable, "-m", "sluice", "train")
SCRIPT = (str(Path(sys.executable).with_name("sluice")), "train")
EASY = ("task=temporal_order", "task.level=easy", *SMALL)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "-cd", "myconf", "seed=1,2"),
        ("seed=1", "--cfg", "job", "-p=model"),
        ("-cd=my conf", "~scheduler", "+a.b='c d'", "--multirun"),
        ("model.module=cell.py", "task.module=task.py", "resume=last"),
        ("--help",),
        ("--version", "--info"),
        (),
    ],
    ids=" ".join,
)
def test_arguments_are_passed_unchanged(monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]) -> None:
    passed: list[list[str]] = []
    monkeypatch.setattr(sys, "argv", ["sluice"])
    monkeypatch.setattr("sluice.cli.train.main", lambda conf: passed.append(sys.argv))
    assert sluice("train", *arguments).code == 0
    assert passed == [["sluice", *arguments]]


def test_help_is_that_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sluice"])
    ended = sluice("train", "--help")
    assert ended.code == 0
    assert "sluice train -m model=rnn,gru,lstm" in ended.out
    assert "task.data.source=auto" in sluice("train", "task=imdb", "--help").out


def test_version_is_printed() -> None:
    assert sluice("--version") == Ended(0, f"sluice {__version__}\n", "")


def completed(words: str) -> list[str]:
    """The completions of a command line in bash."""
    count = str(len(words.split(" ")) - 1)
    environment = {**os.environ, "_SLUICE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": count}
    done = subprocess.run(SCRIPT[:1], env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.split()


def test_commands_and_options_are_completed() -> None:
    assert completed("sluice pr") == ["prepare", "predict"]
    assert "--tokenized" in completed("sluice predict run --to")


def test_completion_script_is_printed_for_bash() -> None:
    script = (
        "import shellingham; shellingham.detect_shell = lambda: ('bash', '/bin/bash'); from sluice.cli.main import app"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{script}; app(['--show-completion'], prog_name='sluice')"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "_SLUICE_COMPLETE=complete_bash" in done.stdout
    assert "complete -o default -F _sluice_completion sluice" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("program", [SCRIPT, MODULE, TRAIN], ids=["sluice", "module", "train.py"])
def test_every_entry_point_trains_in_any_folder(tmp_path: Path, program: Sequence[str]) -> None:
    ended = command(*program, *EASY, "name=a", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert only_run(tmp_path) == tmp_path / "outputs" / "temporal_order" / "lstm" / "a"
    assert {path.name for path in tmp_path.iterdir()} <= {"data", "outputs"}


@pytest.mark.slow
def test_interrupted_run_prints_the_command_that_was_run(tmp_path: Path) -> None:
    settings = (*EASY[:-1], "name=a", "trainer.max_epochs=1000")
    process = subprocess.Popen(
        [*SCRIPT, *settings], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    run = tmp_path / "outputs" / "temporal_order" / "lstm" / "a"
    try:
        for _ in range(1500):
            if (run / "best.ckpt").exists():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.1)
        process.send_signal(signal.SIGUSR1)
        _, err = process.communicate(timeout=100)
    finally:
        process.kill()
    assert err.splitlines()[-1] == f"sluice train resume={run}"


@pytest.mark.slow
def test_jobs_of_a_sweep_store_the_command(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    ended = command(*SCRIPT, *EASY, "-m", "hydra/launcher=submitit_local", "seed=1,2", "name=a", cwd=tmp_path)
    assert ended.code == 0, ended.err
    runs = [tmp_path / "outputs" / "temporal_order" / "lstm" / f"a-{number}" for number in (0, 1)]
    logs = re.findall(r"^job \S+: seed=(\d); log: outputs/multirun/\S+_log.err$", ended.err, re.MULTILINE)
    assert logs == ["1", "2"]
    assert "Waiting for 2 jobs." in ended.err
    assert [line.split()[:2] for line in ended.out.splitlines()[-2:]] == [["1", "1"], ["2", "2"]]
    line = " ".join(["sluice train", *EASY, "-m hydra/launcher=submitit_local seed=1,2 name=a"])
    assert {results_of(run)["command"] for run in runs} == {line}
