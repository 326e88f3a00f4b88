"""Choosing and claiming the folder of a run, with a lease that excludes other processes."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sluice.config.schema import Config
from sluice.distributed import global_rank
from sluice.errors import UserError
from sluice.program import LAUNCHED
from sluice.runs.folder import clear_run_folder, create_run_folder, job_id, run_folder, run_name
from sluice.runs.lease import Lease, refusal_of
from sluice.runs.results import write_config
from sluice.training.resume import (
    ResumePoint,
    can_resume,
    check_same_settings,
    find_resume_point,
    find_run,
    is_finished,
    job_folder,
    refuse_finished,
    report_differences,
)
from sluice.training.stored_settings import write_overrides

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunLocation:
    """The folder of a run, and whether the run in it is resumed."""

    folder: Path
    resumes: bool
    by_parent: bool = False
    """Whether the parent process has claimed it already."""


@dataclass(frozen=True)
class ClaimedFolder:
    """A folder claimed for this run."""

    folder: Path
    resume_point: ResumePoint | None
    """None for a new run."""
    lease: Lease | None
    """None on ranks other than 0, which don't write."""


def check_early(config: Config, sweep_number: int | None) -> None:
    """Checks the run folder before any data are read; writes nothing.

    Whether the generated sample is used, which changes the folder's name, may not be known yet; then an error is
    raised only if both possible folders are refused.

    Raises:
        UserError: as `claim_folder`.
    """
    if config.paths.run_dir is not None and LAUNCHED not in os.environ:
        raise UserError(
            f"paths.run_dir={config.paths.run_dir} cannot be set, it is computed: set name= and paths.output_dir="
        )
    if config.paths.run_dir is not None or global_rank() > 0:
        return
    if config.resume is None and config.name is None and job_id() is None:
        run_folder(Path(config.paths.output_dir), config.task.name, config.model.name, "new")
        return
    source = _source(config)
    refusals: list[UserError] = []
    samples = {"auto": (False, True), "sample": (True,)}.get(source, (False,))
    for sample in samples:
        try:
            check_free(locate_run(config, sample=sample, sweep_number=sweep_number), config, settings=source != "auto")
        except UserError as error:
            refusals.append(error)
    if len(refusals) == len(samples):
        raise refusals[0]


def _source(config: Config) -> str:
    """The source of the data, see `task.data.source`; "sample" without a file that the task could have."""
    data = getattr(config.task, "data", None)
    return str(getattr(data, "source", "sample" if getattr(data, "path", "file") is None else "file"))


def locate_run(config: Config, *, sample: bool, sweep_number: int | None) -> RunLocation:
    """Determines the run folder from the configuration.

    A run named after a scheduler job that was requeued is resumed automatically.

    Args:
        config: the configuration.
        sample: whether the data are the generated sample.
        sweep_number: the run's number in a sweep, from 1 on; None outside a sweep.

    Raises:
        UserError: for an invalid name, or if the run to resume doesn't exist.
    """
    output_dir, task, model = Path(config.paths.output_dir), config.task.name, config.model.name
    if config.paths.run_dir is not None:
        return RunLocation(Path(config.paths.run_dir), config.resume is not None, by_parent=True)
    if config.resume is not None:
        return RunLocation(find_run(config.resume, output_dir, task, model), resumes=True)
    name = run_name(config.name, sample=sample, sweep_number=sweep_number)
    folder = run_folder(output_dir, task, model, name)
    if config.name is not None or job_id() is None:
        return RunLocation(folder, resumes=False)
    folder = job_folder(folder, config)
    return RunLocation(folder, can_resume(folder) or is_finished(folder))


def check_free(location: RunLocation, config: Config, *, settings: bool = True) -> None:
    """Refuses a folder that is in use, already has a run, or has no run that can be resumed.

    Args:
        location: the folder.
        config: the configuration.
        settings: whether to compare the settings with those of the run to resume; needs a known data source.

    Raises:
        AlreadyDone: if the run to resume has finished.
        UserError: in all other cases.
    """
    if location.by_parent:
        return
    refusal = refusal_of(location.folder) if global_rank() == 0 else None
    if refusal:
        raise UserError(refusal)
    _check_contents(location, config, settings)


def _check_contents(location: RunLocation, config: Config, settings: bool = True) -> None:
    folder = location.folder
    if not location.resumes:
        # not on other ranks: rank 0 may have started writing already
        if global_rank() == 0 and (is_finished(folder) or can_resume(folder)):
            raise UserError(
                f"{folder} already contains a run: choose another name=, resume it with resume={folder}, or delete "
                "the folder"
            )
        return
    if is_finished(folder):
        if settings:
            refuse_finished(folder, config)
        return
    if not can_resume(folder):
        raise UserError(f"{folder} has no last.ckpt to resume from: start without resume=, the name can be used again")
    if settings:
        check_same_settings(folder, config)


@contextmanager
def claim_folder(
    location: RunLocation, config: Config, overrides: Sequence[str] | None, check: Callable[[ResumePoint], None]
) -> Iterator[ClaimedFolder]:
    """Holds the folder's lease, so that no other process writes to it.

    Args:
        location: the folder.
        config: the complete configuration.
        overrides: the overrides of the command line, stored for resuming; None if there are none.
        check: called with the checkpoint to resume, before anything is written; raises if it cannot be resumed.

    Raises:
        UserError: if the folder cannot be used.
    """
    lease = _lease(location)
    try:
        if not location.by_parent:
            _check_contents(location, config)
        resume_point = _resume_point(location, config, check) if location.resumes else None
        if lease is not None and not location.by_parent:
            _reset_folder(location, config, overrides)
        yield ClaimedFolder(location.folder, resume_point, lease)
    finally:
        if lease is not None:
            lease.release()


def _lease(location: RunLocation) -> Lease | None:
    if not location.by_parent:
        create_run_folder(location.folder)
    if global_rank() > 0:
        return None
    return Lease.inherit(location.folder) if location.by_parent else Lease.acquire(location.folder)


def _resume_point(location: RunLocation, config: Config, check: Callable[[ResumePoint], None]) -> ResumePoint:
    found = find_resume_point(location.folder)
    if not location.by_parent:
        check(found)
        report_differences(location.folder, config)
    return found


def _reset_folder(location: RunLocation, config: Config, overrides: Sequence[str] | None) -> None:
    """Removes files of an earlier attempt, and stores the settings."""
    if not location.resumes and (location.folder / "best.ckpt").exists():
        log.warning("%s has no last.ckpt to resume from: starting over, its best.ckpt is deleted.", location.folder)
    clear_run_folder(location.folder, resumes=location.resumes)
    if location.resumes and not config.resume_force:
        return
    write_config(location.folder, {**asdict(config), "resume": None, "resume_force": False})
    write_overrides(location.folder, overrides)
