"""Concurrent runs of a sweep share the (simulated) GPUs of a machine."""

import threading
import time
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from sluice.errors import UserError
from sluice.training import gpus
from sluice.training.gpus import RecordGPUs, lock_gpus, reserve_gpus, visible_gpus

LOCAL = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"


@pytest.fixture
def in_sweep(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep job on a machine with two GPUs, both hidden by submitit."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(workdir))
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    monkeypatch.setenv("SLUICE_GPUS", "0,1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return workdir


def test_no_gpu_is_held_twice_and_all_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "POLL_SECONDS", 0.005)
    held: list[str] = []
    seen: list[tuple[str, ...]] = []

    def run() -> None:
        with lock_gpus(["0", "1", "2"], 1, tmp_path) as own:
            held.extend(own)
            seen.append(tuple(sorted(held)))
            time.sleep(0.05)
            held.remove(own[0])

    threads = [threading.Thread(target=run) for _ in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(seen) == 7
    assert all(len(set(at_once)) == len(at_once) for at_once in seen)
    assert max(len(at_once) for at_once in seen) == 3


def test_run_on_two_gpus_holds_none_while_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "POLL_SECONDS", 0.005)
    taken = threading.Event()

    def run_on_two() -> None:
        with lock_gpus(["0", "1"], 2, tmp_path) as own:
            assert own == ["0", "1"]
            taken.set()

    with lock_gpus(["0", "1"], 1, tmp_path) as first:
        assert first == ["0"]
        waiting = threading.Thread(target=run_on_two)
        waiting.start()
        time.sleep(0.05)
        with lock_gpus(["0", "1"], 1, tmp_path) as second:
            assert second == ["1"]
        assert not taken.is_set()
    waiting.join(timeout=30)
    assert taken.is_set()


def test_each_run_sees_its_own_gpu(in_sweep: Path) -> None:
    with reserve_gpus({"accelerator": "auto", "devices": 1}):
        assert gpus.os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        with reserve_gpus({"accelerator": "gpu", "devices": 1}):
            assert gpus.os.environ["CUDA_VISIBLE_DEVICES"] == "1"


@pytest.mark.parametrize(("devices", "shown"), [("auto", "0,1"), (-1, "0,1"), ([3, 5], "0,1"), (2, "0,1")])
def test_run_on_several_gpus_sees_their_number(in_sweep: Path, devices: object, shown: str) -> None:
    with reserve_gpus({"accelerator": "gpu", "devices": devices}) as number:
        assert gpus.os.environ["CUDA_VISIBLE_DEVICES"] == shown
        assert number == (2 if isinstance(devices, list) else None)


def test_cpu_run_holds_no_gpu(in_sweep: Path) -> None:
    with reserve_gpus({"accelerator": "cpu", "devices": 8}):
        assert gpus.os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_more_gpus_than_available_are_refused(in_sweep: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.devices=3 cannot be used: this sweep has 2 GPUs"):
        reserve_gpus({"accelerator": "gpu", "devices": 3}).__enter__()


def test_gpu_run_never_falls_back_to_the_cpu(in_sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match="torch finds 0 GPUs with CUDA_VISIBLE_DEVICES=0"):
        reserve_gpus({"accelerator": "auto", "devices": 1}).__enter__()


@pytest.mark.parametrize(("launcher", "recorded"), [(LOCAL, "4,7"), ("hydra._internal.BasicLauncher", None)])
def test_gpus_are_recorded_before_a_local_sweep(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, launcher: str, recorded: str | None
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setenv("SLUICE_GPUS", "")
    monkeypatch.delenv("SLUICE_GPUS")
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.delenv("PYTHONSAFEPATH")
    RecordGPUs().on_multirun_start(OmegaConf.create({"hydra": {"launcher": {"_target_": launcher}}}))
    assert gpus.os.environ.get("SLUICE_GPUS") == recorded
    assert gpus.os.environ.get("PYTHONSAFEPATH") == ("1" if launcher == LOCAL else None)


def test_gpus_are_numbered_without_cuda_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert visible_gpus({}) == ["0", "1", "2"]
