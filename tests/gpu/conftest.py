"""Tests on a GPU, `pytest -m gpu -n 0 tests/gpu`; they skip without CUDA.

They run from a source tree (PYTHONPATH=src) on generated data, take a few minutes per file, and print tables for
docs/gpu.md. SLUICE_GPU_REHEARSAL=1 runs them on the CPU as far as possible, to check the tests themselves.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from gpu_report import REPORT
from small_configs import write_own_files

HERE = Path(__file__).parent
REHEARSAL = os.environ.get("SLUICE_GPU_REHEARSAL") == "1"
PRESENT = torch.cuda.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if not (PRESENT or REHEARSAL):
                item.add_marker(pytest.mark.skip(reason="needs CUDA: torch.cuda.is_available() is False here"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if HERE not in item.path.parents:
        return
    name = item.originalname if isinstance(item, pytest.Function) else item.name
    if report.when == "call" and not report.skipped:
        REPORT.outcomes.setdefault(name, []).append((report.outcome, report.duration))
    elif report.skipped and isinstance(report.longrepr, tuple):
        REPORT.not_run[name] = str(report.longrepr[2]).removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if REPORT.outcomes:
        REPORT.print(terminalreporter.write_line)


@dataclass(frozen=True)
class Device:
    """The device of the tests."""

    torch: torch.device
    accelerator: str
    """Value of trainer.accelerator."""


@pytest.fixture(scope="session")
def device() -> Device:
    """The first GPU; the CPU in a rehearsal."""
    return Device(torch.device("cuda", 0), "gpu") if PRESENT else Device(torch.device("cpu"), "cpu")


@pytest.fixture
def real_gpu() -> None:
    """Skips the test without a GPU."""
    if not PRESENT:
        pytest.skip("needs CUDA")


@pytest.fixture
def home(workdir: Path) -> Path:
    """A working directory with small data files."""
    write_own_files(workdir)
    return workdir
