"""Printing the jobs that a submitit launcher submits."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from sluice.runs.report import relative
from sluice.sweeps.report import SweepReport
from sluice.terminal import print_line

if TYPE_CHECKING:
    from submitit import AutoExecutor, Job

LAUNCHER = "submitit_launcher"
"""Part of the names of submitit's launchers."""


class AnnounceJobs(Callback):
    """Records the folder of a sweep, and prints the id and the log of each job that it submits; see conf/hydra."""

    replaced: ClassVar["type[AutoExecutor] | None"] = None
    """submitit's class, while another one announces the jobs of this process."""

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        SweepReport.open_folder(Path(config.hydra.sweep.dir))
        if LAUNCHER in str(config.hydra.launcher.get("_target_", "")):
            import submitit

            AnnounceJobs.replaced = submitit.AutoExecutor
            submitit.AutoExecutor = announcing(submitit.AutoExecutor)  # type: ignore[misc]

    @classmethod
    def restore(cls) -> None:
        """Restores submitit's class at the end of a sweep; Hydra doesn't call `on_multirun_end` after an error."""
        if cls.replaced is not None:
            import submitit

            submitit.AutoExecutor, cls.replaced = cls.replaced, None  # type: ignore[misc]


class JobFunction(Protocol):
    """What Hydra's launcher submits: the first argument is the overrides of a job."""

    def __call__(self, overrides: Sequence[str], *arguments: object) -> object: ...


def announcing(executor: "type[AutoExecutor]") -> "type[AutoExecutor]":
    """Derives an executor that prints what it submits."""

    class Announcing(executor):  # type: ignore[misc,valid-type]
        def map_array(
            self, function: JobFunction, overrides: Sequence[Sequence[str]], *arguments: Sequence[object]
        ) -> "list[Job[object]]":
            jobs: list[Job[object]] = super().map_array(function, overrides, *arguments)
            for job, chosen in zip(jobs, differing(overrides), strict=True):
                log = relative(Path(job.paths.stderr))
                print_line(f"job {job.job_id}: {' '.join(chosen)}; log: {log}", file=sys.stderr)
            print_line(f"Waiting for {len(jobs)} job{'s' * (len(jobs) > 1)}.", file=sys.stderr, flush=True)
            return jobs

    return Announcing


def differing(overrides: Sequence[Sequence[str]]) -> list[list[str]]:
    """The overrides of each job that not all jobs have."""
    shared = set.intersection(*map(set, overrides))
    return [[override for override in own if override not in shared] or list(own) for own in overrides]
