"""What all tests share: one thread, a workplace of one's own, one finished run."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; two spinning threads are far slower here

import pytest
from tensorboard.summary.writer import event_file_writer

from own_cell import forget_own_cells
from running import TINY, Ended, Finished, places, train

event_file_writer._global_uid = event_file_writer.AtomicCounter(100_000)
"""TensorBoard reads event files by their names: second, machine, process, number; here is but one process, and all
numbers must have as many digits."""
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


@pytest.fixture(scope="session", autouse=True)
def _cache_of_commands(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Commands that read the data of a checkpoint keep what they prepare here, not in the checkout."""
    os.environ["SLUICE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with data/ in it as the current one, and an environment that says nothing."""
    for name in (*ELSEWHERE, *RANKS, *TORCHRUN, *SLURM):
        monkeypatch.setenv(name, "")  # so that whatever a test sets is undone
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.fixture
def own_cells_forgotten() -> Iterator[None]:
    """The test and those after it begin without the cells that files of one's own registered."""
    forget_own_cells()
    yield
    forget_own_cells()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A tiny LSTM with attention, trained for two epochs on the sample; look, don't touch."""
    home = tmp_path_factory.mktemp("finished")
    whole = [setting for setting in TINY if setting != "debug=fast"]
    length = ("trainer.max_epochs=2", "trainer.log_every_n_steps=1", "task.data.batch_size=8")
    ended: Ended = train(*whole, *length, *places(home), "task.pooling=attention")
    assert ended.code == 0, ended.err
    return Finished.found(home, ended)


if (
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN
):  # started in the background of a shell: Ctrl-C is tested all the same
    signal.signal(signal.SIGINT, signal.default_int_handler)
