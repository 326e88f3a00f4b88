"""Which folder a run has, whether it may have it, and the lease that keeps other processes out of it."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sluice.config.schema import Config
from sluice.distributed import LAUNCHED, global_rank
from sluice.errors import UserError
from sluice.runs.checkpoint import find_checkpoint
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
    """The folder a run is to have."""

    folder: Path
    resumes: bool
    """Whether a run lies there that is to be resumed."""
    by_parent: bool = False
    """Whether the parent process has claimed it already."""


@dataclass(frozen=True)
class ClaimedFolder:
    """A folder that this process may write to."""

    folder: Path
    resume_point: ResumePoint | None
    lease: Lease | None
    """None on every rank but the first, which alone writes."""


def check_early(config: Config, sweep_number: int | None) -> None:
    """Refuses, before any data is read, a folder that `claim_folder` would refuse later, and a missing `init_from`.

    Writes nothing.

    Whether the sample is used, which changes the folder's name, may not be known yet; then it is refused only if both
    folders would be.

    Raises:
        UserError: as `claim_folder`, or if `init_from` has no checkpoint.
    """
    if config.paths.run_dir is not None and LAUNCHED not in os.environ:
        raise UserError(
            f"paths.run_dir={config.paths.run_dir} cannot be set: the program sets it; use name= and paths.output_dir="
        )
    if config.paths.run_dir is not None or global_rank() > 0:
        return
    if config.init_from is not None and config.resume is None:
        find_checkpoint(Path(config.init_from))
    if config.resume is None and config.name is None and job_id() is None:
        run_folder(Path(config.paths.output_dir), config.task.name, config.model.name, "new")
        return
    source = getattr(getattr(config.task, "data", None), "source", None)
    refusals: list[UserError] = []
    samples = {"auto": (False, True), "sample": (True,)}.get(str(source), (False,))
    for sample in samples:
        try:
            check_free(locate_run(config, sample=sample, sweep_number=sweep_number), config, settings=source != "auto")
        except UserError as error:
            refusals.append(error)
    if len(refusals) == len(samples):
        raise refusals[0]


def locate_run(config: Config, *, sample: bool, sweep_number: int | None) -> RunLocation:
    """The folder that the configuration asks for.

    A run named by its scheduler's job resumes by itself: the job was requeued.

    Raises:
        UserError: for a name that no folder can have, or a run to resume that isn't there.
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
    """Refuses a folder that is in use, and contents that don't allow what is asked.

    Args:
        location: the folder.
        config: the configuration.
        settings: whether the settings of a run to resume are compared, which needs a settled data source.

    Raises:
        AlreadyDone: if the run to resume has ended.
        UserError: for anything else.
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
        if global_rank() == 0 and (is_finished(folder) or can_resume(folder)):  # the first rank may have begun already
            raise UserError(
                f"there is a run in {folder} already: choose another name=, resume it with resume={folder}, or delete "
                "the folder"
            )
        return
    if is_finished(folder):
        if settings:
            refuse_finished(folder, config)
        return
    if not can_resume(folder):
        raise UserError(
            f"{folder} holds no last.ckpt: there is nothing to go on from; start without resume=, its name is free"
        )
    if settings:
        check_same_settings(folder, config)


@contextmanager
def claim_folder(
    location: RunLocation, config: Config, overrides: Sequence[str] | None, check: Callable[[ResumePoint], None]
) -> Iterator[ClaimedFolder]:
    """Takes the folder's lease, and meanwhile keeps other processes out.

    Args:
        location: the folder.
        config: the complete configuration.
        overrides: the command line, kept for resuming; None where there was none.
        check: refuses a checkpoint that cannot be resumed, before anything is written.

    Raises:
        UserError: if the folder cannot be had.
    """
    lease = _lease(location)
    try:
        if not location.by_parent:
            _check_contents(location, config)
        found = _resume_point(location, config, check) if location.resumes else None
        if lease is not None and not location.by_parent:
            _reset_folder(location, config, overrides)
        yield ClaimedFolder(location.folder, found, lease)
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
    """Removes what an earlier attempt left, and writes down the settings that hold from now on."""
    if not location.resumes and (location.folder / "best.ckpt").exists():
        log.warning("%s has no checkpoint to resume from: its best.ckpt is replaced.", location.folder)
    clear_run_folder(location.folder, resumes=location.resumes)
    if location.resumes and not config.resume_force:
        return
    write_config(location.folder, {**asdict(config), "resume": None, "resume_force": False})
    write_overrides(location.folder, overrides)
