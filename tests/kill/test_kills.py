"""kill -9 at any moment and of any process: the run that goes on ends as one that nobody killed.

pytest -m kill
"""

import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import pytest

from likeness import differences
from processes import LONGEST, children_of
from running import CONF, SAMPLE, places
from sluice.cli.hydra_app import main

pytestmark = [
    pytest.mark.kill,
    pytest.mark.usefixtures("workplace"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

SETTINGS = (
    *("model.hidden_size=8", "embedding.size=8", "model.dropout=0.2", "model.num_layers=2", "trainer.max_epochs=3"),
    *("task.data.batch_size=16", "task.data.sample_size=200", SAMPLE[0], "trainer.log_every_n_steps=1"),
    "checkpoint.every_steps=2",
)
MOST_KILLS = 3
"""Of one run."""


class Process:
    """python train.py, forked from this process, which has imported everything."""

    def __init__(self, settings: tuple[str, ...], said: Path, job: str | None) -> None:
        self.said, self.code = said, None
        self.process = os.fork()
        if self.process == 0:
            os._exit(_train(settings, said, job))

    def ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.code is None and time.monotonic() < deadline:
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                self.code = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.005)
        return self.code is not None

    def kill_one(self, chance: random.Random) -> None:
        """This process or one that it started; all have ended afterwards."""
        workers = children_of(self.process)
        os.kill(chance.choice([self.process, *workers]), signal.SIGKILL)
        assert self.ends_within(LONGEST), "it waits for ever"
        deadline = time.monotonic() + LONGEST
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < deadline, "its workers go on without it"
            time.sleep(0.01)


def _train(settings: tuple[str, ...], said: Path, job: str | None) -> int:
    with said.open("a", encoding="utf-8", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        sys.argv = ["train.py", *settings]
        if job is not None:
            os.environ["SLURM_JOB_ID"] = job
        try:
            main(CONF)
        except SystemExit as ending:
            return int(ending.code or 0)
        except BaseException:
            traceback.print_exc()
            return 99
    return 0


class Runs:
    """Runs of one kind, and the undisturbed one."""

    def __init__(self, home: Path, kind: str) -> None:
        (home / "data").mkdir()
        self.settings = (*SETTINGS, f"trainer={kind}", *places(home))
        self.parent = home / "output" / "imdb" / "lstm"
        self.said = home / "said.txt"
        self.undisturbed = self.parent / "sample-undisturbed"
        started = time.monotonic()
        self.finish(Process((*self.settings, "name=undisturbed"), self.said, None))
        self.seconds = time.monotonic() - started

    def finish(self, process: Process) -> None:
        assert process.ends_within(LONGEST), "it takes too long"
        assert process.code == 0, self.said.read_text(encoding="utf-8")[-3000:]

    def killed(self, number: int) -> Path:
        """A run that was killed up to so many times, each time at any moment, and then left to end."""
        chance = random.Random(number)
        run = self.parent / f"sample-{number}"
        for _ in range(chance.randint(1, MOST_KILLS)):
            process = self.start(run)
            if process.ends_within(chance.uniform(0, self.seconds)):
                self.finish(process)
            else:
                process.kill_one(chance)
        self.finish(self.start(run))
        return run

    def start(self, run: Path) -> Process:
        """As its scheduler would, or as a person would: begins it, or goes on with it."""
        number = run.name.removeprefix("sample-")
        if int(number) % 2:
            return Process(self.settings, self.said, job=number)
        if any((run / name).exists() for name in ("last.ckpt", "previous.ckpt")):
            return Process((*self.settings, f"resume={run}"), self.said, None)
        shutil.rmtree(run, ignore_errors=True)
        return Process((*self.settings, f"name={number}"), self.said, None)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Runs of one process."""
    return Runs(tmp_path_factory.mktemp("one"), "cpu")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Runs of two processes, which are three with the one that started them."""
    return Runs(tmp_path_factory.mktemp("two"), "ddp_cpu")


@pytest.mark.parametrize("number", range(40))
def test_a_run_of_one_process(one: Runs, number: int) -> None:
    assert differences(one.killed(number), one.undisturbed) == []


@pytest.mark.parametrize("number", range(10))
def test_a_run_of_two_processes(two: Runs, number: int) -> None:
    assert differences(two.killed(number), two.undisturbed) == []
