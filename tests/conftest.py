"""Shared fixtures: one torch thread, an empty working directory, a finished run."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

# Read when torch is imported. Threads that spin while they wait take the cores of the other test processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
from tensorboard.summary.writer import event_file_writer

from custom_cell import unregister_custom_code
from running import TINY, Ended, Finished, paths_in, train

gc.disable()  # until all tests are collected: there is hardly any garbage among a million objects
event_file_writer._global_uid = event_file_writer.AtomicCounter(100_000)
"""TensorBoard sorts event files by name: second, host, process, counter. Tests share a process, so the counter needs a
fixed number of digits."""
ELSEWHERE = ("SLUICE_DATA", "SLUICE_CACHE", "SLUICE_TRACEBACK", "SLUICE_LAUNCHED", "SLUICE_LEASE", "SUBMITIT_EXECUTOR")
RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TORCHRUN = tuple(f"TORCHELASTIC_{name}" for name in ("RUN_ID", "USE_AGENT_STORE", "RESTART_COUNT"))
SLURM = (
    *(
        "SLURM_JOB_ID",
        "SLURM_RESTART_COUNT",
        "SLURM_ARRAY_JOB_ID",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_STEP_ID",
        "SLURM_PROCID",
        "SLURM_LOCALID",
    ),
    *("SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_NNODES", "SLURM_STEP_NUM_NODES", "SLURM_NODELIST"),
)


def pytest_collection_finish() -> None:
    """Leaves the modules and tests out of garbage collection, which would go through them again and again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _cache_of_commands(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Commands write prepared data to a temporary cache, not to the checkout."""
    os.environ["SLUICE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with data/, and an environment without variables of Sluice and launchers."""
    for name in (*ELSEWHERE, *RANKS, *TORCHRUN, *SLURM):
        monkeypatch.setenv(name, "")  # values that a test sets are undone
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.fixture
def custom_code_unregistered() -> Iterator[None]:
    """Unregisters the cells and tasks of user files before and after the test."""
    unregister_custom_code()
    yield
    unregister_custom_code()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A tiny LSTM with attention, trained for two epochs on the sample; read-only."""
    home = tmp_path_factory.mktemp("finished")
    whole = [setting for setting in TINY if setting != "debug=fast"]
    length = ("trainer.max_epochs=2", "trainer.log_every_n_steps=1", "task.data.batch_size=8")
    ended: Ended = train(*whole, *length, *paths_in(home), "task.pooling=attention")
    assert ended.code == 0, ended.err
    return Finished.found(home, ended)


if (
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN
):  # ignored in background jobs of a shell; the tests of Ctrl-C need it
    signal.signal(signal.SIGINT, signal.default_int_handler)
