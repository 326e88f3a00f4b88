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
    Resumed,
    can_go_on,
    check_done,
    check_same,
    find_run,
    is_done,
    job_folder,
    report_differences,
    resumed,
)
from sluice.training.stored_settings import write_overrides

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """The folder a run is to have."""

    folder: Path
    resumes: bool
    """Whether a run lies there that is to be resumed."""
    by_parent: bool = False
    """Whether the parent process has claimed it already."""


@dataclass(frozen=True)
class Claimed:
    """A folder that this process may write to."""

    folder: Path
    resumed: Resumed | None
    lease: Lease | None
    """None on every rank but the first, which alone writes."""


def check_early(config: Config, sweep_number: int | None) -> None:
    """Refuses, before any data is read, a folder that `claimed` would refuse later, and a missing `init_from`.

    Writes nothing.

    Whether the sample is used, which changes the folder's name, may not be known yet; then it is refused only if both
    folders would be.

    Raises:
        UserError: as `claimed`, or if `init_from` has no checkpoint.
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
            check_free(settled(config, sample=sample, sweep_number=sweep_number), config, settings=source != "auto")
        except UserError as error:
            refusals.append(error)
    if len(refusals) == len(samples):
        raise refusals[0]


def settled(config: Config, *, sample: bool, sweep_number: int | None) -> Place:
    """The folder that the configuration asks for.

    A run named by its scheduler's job resumes by itself: the job was requeued.

    Raises:
        UserError: for a name that no folder can have, or a run to resume that isn't there.
    """
    output_dir, task, model = Path(config.paths.output_dir), config.task.name, config.model.name
    if config.paths.run_dir is not None:
        return Place(Path(config.paths.run_dir), config.resume is not None, by_parent=True)
    if config.resume is not None:
        return Place(find_run(config.resume, output_dir, task, model), resumes=True)
    name = run_name(config.name, sample=sample, sweep_number=sweep_number)
    folder = run_folder(output_dir, task, model, name)
    if config.name is not None or job_id() is None:
        return Place(folder, resumes=False)
    folder = job_folder(folder, config)
    return Place(folder, can_go_on(folder) or is_done(folder))


def check_free(place: Place, config: Config, *, settings: bool = True) -> None:
    """Refuses a folder that is in use, and contents that don't allow what is asked.

    Args:
        place: the folder.
        config: the configuration.
        settings: whether the settings of a run to resume are compared, which needs a settled data source.

    Raises:
        AlreadyDone: if the run to resume has ended.
        UserError: for anything else.
    """
    if place.by_parent:
        return
    refusal = refusal_of(place.folder) if global_rank() == 0 else None
    if refusal:
        raise UserError(refusal)
    _check_contents(place, config, settings)


def _check_contents(place: Place, config: Config, settings: bool = True) -> None:
    folder = place.folder
    if not place.resumes:
        if global_rank() == 0 and (is_done(folder) or can_go_on(folder)):  # the first rank may have begun already
            raise UserError(
                f"there is a run in {folder} already: choose another name=, resume it with resume={folder}, or delete "
                "the folder"
            )
        return
    if is_done(folder):
        if settings:
            check_done(folder, config)
        return
    if not can_go_on(folder):
        raise UserError(
            f"{folder} holds no last.ckpt: there is nothing to go on from; start without resume=, its name is free"
        )
    if settings:
        check_same(folder, config)


@contextmanager
def claimed(
    place: Place, config: Config, overrides: Sequence[str] | None, check: Callable[[Resumed], None]
) -> Iterator[Claimed]:
    """Takes the folder's lease, and meanwhile keeps other processes out.

    Args:
        place: the folder.
        config: the complete configuration.
        overrides: the command line, kept for resuming; None where there was none.
        check: refuses a checkpoint that cannot be resumed, before anything is written.

    Raises:
        UserError: if the folder cannot be had.
    """
    lease = _lease(place)
    try:
        if not place.by_parent:
            _check_contents(place, config)
        found = _found(place, config, check) if place.resumes else None
        if lease is not None and not place.by_parent:
            _begin(place, config, overrides)
        yield Claimed(place.folder, found, lease)
    finally:
        if lease is not None:
            lease.release()


def _lease(place: Place) -> Lease | None:
    if not place.by_parent:
        create_run_folder(place.folder)
    if global_rank() > 0:
        return None
    return Lease.inherit(place.folder) if place.by_parent else Lease.acquire(place.folder)


def _found(place: Place, config: Config, check: Callable[[Resumed], None]) -> Resumed:
    found = resumed(place.folder)
    if not place.by_parent:
        check(found)
        report_differences(place.folder, config)
    return found


def _begin(place: Place, config: Config, overrides: Sequence[str] | None) -> None:
    """Removes what an earlier attempt left, and writes down the settings that hold from now on."""
    if not place.resumes and (place.folder / "best.ckpt").exists():
        log.warning("%s has no checkpoint to resume from: its best.ckpt is replaced.", place.folder)
    clear_run_folder(place.folder, resumes=place.resumes)
    if place.resumes and not config.resume_force:
        return
    write_config(place.folder, {**asdict(config), "resume": None, "resume_force": False})
    write_overrides(place.folder, overrides)
