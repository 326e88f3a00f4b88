"""A run killed by SIGKILL at random times and resumed equals an uninterrupted run.

pytest -m kill
"""

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from processes import LONGEST, children_of
from run_differences import differences
from running import CONF, SAMPLE, paths_in
from sluice.cli.train import main

pytestmark = [
    pytest.mark.kill,
    pytest.mark.usefixtures("workdir"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

SETTINGS = ("trainer.max_epochs=3", "trainer.log_every_n_steps=1", "checkpoint.every_steps=2")
NETWORK = ("model.hidden_size=8", "model.dropout=0.2", "model.num_layers=2")
WORDS = ("embedding.size=8",)
FEW = ("task.data.size=120", "task.data.val_size=20", "task.data.test_size=20", "task.data.batch_size=16")
DECODER = ("task.decoder.hidden_size=8",)
OF_TASK = {
    "imdb": (*NETWORK, *WORDS, SAMPLE[0], "task.data.batch_size=16", "task.data.sample_size=200"),
    "wikitext2": (
        *(*NETWORK, *WORDS, SAMPLE[0]),
        *("task.data.batch_size=8", "task.data.sample_size=60", "task.data.chunk_length=20"),
    ),
    "multi30k": (
        *(*NETWORK, *WORDS, *DECODER, SAMPLE[0]),
        *("task.data.batch_size=16", "task.data.sample_size=200", "task.test_beam=2"),
    ),
    "temporal_order": (*NETWORK, *WORDS, *FEW, "task.level=easy"),
    "adding": (*NETWORK, *FEW, "task.data.steps=8"),
    "echo": (
        *NETWORK,
        *("task.data.streams=4", "task.data.val_streams=2", "task.data.test_streams=2", "task.data.length=100"),
    ),
    "pairs": (*NETWORK, *WORDS, *FEW, "task.comparison_size=8"),
    "execute": (*NETWORK, *WORDS, *DECODER, *FEW, "task.data.length=2"),
    "word2vec": (*WORDS, "task.data.batch_size=16", "task.data.sample_size=60"),
}
SAMPLED = ("imdb", "wikitext2", "multi30k", "word2vec", "pairs")
"""Tasks trained on the generated sample; the names of their runs start with `sample-`."""
MOST_KILLS = 3
"""Kills of one run at most."""


class Process:
    """python train.py in a fork of this process, where all imports are done."""

    def __init__(self, settings: tuple[str, ...], log: Path, job: str | None) -> None:
        self.log, self.code = log, None
        self.process = os.fork()
        if self.process == 0:
            os._exit(_train(settings, log, job))

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
        """Kills this process or one of its children, and waits until all have ended."""
        workers = children_of(self.process)
        os.kill(chance.choice([self.process, *workers]), signal.SIGKILL)
        assert self.ends_within(LONGEST), "the process does not end"
        deadline = time.monotonic() + LONGEST
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < deadline, "its workers keep running"
            time.sleep(0.01)


def _train(settings: tuple[str, ...], log: Path, job: str | None) -> int:
    with log.open("a", encoding="utf-8", buffering=1) as file:
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
    """Runs of one task and trainer, and an uninterrupted one."""

    def __init__(self, home: Path, task: str, trainer: str) -> None:
        (home / "data").mkdir()
        self.settings = (*SETTINGS, f"task={task}", *OF_TASK[task], f"trainer={trainer}", *paths_in(home))
        parent = home / "output" / task / ("skipgram" if task == "word2vec" else "lstm")
        self.parent, self.prefix = parent, "sample-" if task in SAMPLED else ""
        self.log = home / "log.txt"
        self.undisturbed = self.run("undisturbed")
        started = time.monotonic()
        self.finish(Process((*self.settings, "name=undisturbed"), self.log, None))
        self.seconds = time.monotonic() - started

    def run(self, name: str) -> Path:
        return self.parent / f"{self.prefix}{name}"

    def finish(self, process: Process) -> None:
        assert process.ends_within(LONGEST), "it takes too long"
        assert process.code == 0, self.log.read_text(encoding="utf-8")[-3000:]

    def killed(self, number: int) -> Path:
        """A run that is killed at up to MOST_KILLS random times and then completed."""
        chance = random.Random(number)
        for _ in range(chance.randint(1, MOST_KILLS)):
            process = self.start(str(number))
            if process.ends_within(chance.uniform(0, self.seconds)):
                self.finish(process)
            else:
                process.kill_one(chance)
        self.finish(self.start(str(number)))
        return self.run(str(number))

    def start(self, number: str) -> Process:
        """Starts or resumes a run: odd numbers as a SLURM job, even numbers as a user."""
        run = self.run(number)
        if int(number) % 2:
            return Process(self.settings, self.log, job=number)
        if any((run / name).exists() for name in ("last.ckpt", "previous.ckpt")):
            return Process((f"resume={run}",), self.log, None)
        return Process((*self.settings, f"name={number}"), self.log, None)


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Runs]:
    """`Runs` of a task and a trainer: cpu is one process, ddp_cpu two and their launcher."""
    return cache(lambda task, trainer: Runs(tmp_path_factory.mktemp(f"{task}-{trainer}"), task, trainer))


KILLED = {
    **{("imdb", "cpu"): 8, ("wikitext2", "cpu"): 7, ("multi30k", "cpu"): 7},
    **{(task, "cpu"): 3 for task in ("temporal_order", "adding", "echo", "pairs", "execute", "word2vec")},
    **{("imdb", "ddp_cpu"): 3, ("wikitext2", "ddp_cpu"): 3, ("multi30k", "ddp_cpu"): 2, ("pairs", "ddp_cpu"): 2},
}
"""Fifty runs."""


@pytest.mark.parametrize(
    ("task", "trainer", "number"), [(*kind, number) for kind, count in KILLED.items() for number in range(count)]
)
def test_killed_and_resumed_run_equals_uninterrupted_run(
    runs_of: Callable[[str, str], Runs], task: str, trainer: str, number: int
) -> None:
    runs = runs_of(task, trainer)
    assert differences(runs.killed(number), runs.undisturbed) == []
