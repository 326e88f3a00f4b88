"""`sluice bench ... --device cuda` runs; its rows are added to the report of the GPU tests."""

import json
from typing import Any

import pytest

from gpu_report import REPORT
from running import sluice

REHEARSED = {
    "cells": ("--size", "2,3,4,5"),
    "lengths": ("--batch-size", "4", "--steps", "8", "--shortest", "4", "--input-size", "4", "--hidden-size", "4"),
    "language": ("--batch-size", "2", "--steps", "4", "--units", "16"),
    "seq2seq": ("--batch-size", "2"),
}


@pytest.mark.parametrize("name", REHEARSED)
def test_benchmark_runs(device: Any, name: str) -> None:
    sizes = () if device.torch.type == "cuda" else REHEARSED[name]
    ended = sluice("bench", name, "--device", device.torch.type, "--runs", "3", *sizes, "--json")
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in ended.out.splitlines() if line.startswith("{")]
    assert rows
    REPORT.benchmarks[name] = rows
