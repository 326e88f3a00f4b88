"""What is printed at the end of a run."""

import io
import sys
from pathlib import Path

import pytest

from sluice.runs.report import print_results


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_sample_warning_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    about = {"task": "imdb", "model": "gru", "seed": 1, "parameters": 8, "minutes": 1, "device": "cpu"}
    results = {**about, "train/tokens_per_second": 9, "data_source": "sample"}
    print_results(results, Path("outputs/imdb/gru/sample-a"), "", remedy="put the real corpus into paths.data_dir")
    first, second = screen.getvalue().splitlines()[-2:]
    assert "GENERATED SAMPLE" in first
    assert max(len(first), len(second)) <= 80
    assert second.endswith("and train again.")
