"""The report of the GPU tests in Markdown: a table of the tests and tables of the benchmarks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Report:
    """Results collected while the tests run."""

    outcomes: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    """(outcome, seconds) of the cases of each test function."""
    not_run: dict[str, str] = field(default_factory=dict)
    """Skipped test functions, with the reason."""
    benchmarks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Rows that `sluice bench NAME --json` printed."""

    def print(self, line: Callable[[str], None]) -> None:
        """Prints the report line by line."""
        line(f"\n{_machine()}\n")
        line("| check | cases | passed | seconds |\n|---|---|---|---|")
        for name, cases in self.outcomes.items():
            passed = sum(outcome == "passed" for outcome, _ in cases)
            line(f"| {_words(name)} | {len(cases)} | {passed} | {sum(duration for _, duration in cases):.1f} |")
        for name, reason in self.not_run.items():
            if name not in self.outcomes:
                line(f"| {_words(name)} | not run: {reason} | | |")
        for name, rows in self.benchmarks.items():
            columns = list(dict.fromkeys(key for row in rows for key in row if key not in ("bench", "threads")))
            line(f"\n`sluice bench {name}`\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
            for row in rows:
                line(f"| {' | '.join(_cell(row.get(column, '')) for column in columns)} |")


REPORT = Report()


def _machine() -> str:
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    if not torch.cuda.is_available():
        return f"Rehearsal on the CPU, {versions}"
    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}, {versions}"


def _words(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
