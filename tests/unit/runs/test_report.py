"""What is printed at the end of a run."""

import io
import shlex
import sys
from pathlib import Path

import pytest

from sluice.runs.report import print_results


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


ABOUT = {"task": "imdb", "model": "gru", "seed": 1, "parameters": 8, "minutes": 1, "device": "cpu"}


def test_commands_quote_paths_for_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my runs/imdb/gru/a"
    folder.mkdir(parents=True)
    (folder / "best.ckpt").touch()
    results = {**ABOUT, "train/tokens_per_second": 9, "data_source": "local"}
    print_results(results, folder, 'sluice predict {run} "text"', code=" model.module='{}.py'")
    *_, run, curves, use = capsys.readouterr().out.splitlines()
    assert run.split(maxsplit=1)[1] == str(folder)
    assert shlex.split(curves)[1:] == ["tensorboard", "--logdir", str(folder.parents[1])]
    assert shlex.split(use)[2:] == ["sluice", "predict", str(folder), "model.module={}.py", "text"]


def test_sample_warning_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    results = {**ABOUT, "train/tokens_per_second": 9, "data_source": "sample"}
    print_results(results, Path("outputs/imdb/gru/sample-a"), "", remedy="put the real corpus into paths.data_dir")
    first, second = screen.getvalue().splitlines()[-2:]
    assert "GENERATED SAMPLE" in first
    assert max(len(first), len(second)) <= 80
    assert second.endswith("and train again.")
