"""The entry point of `sluice train` and train.py: Hydra's command line around `training.train`."""

import os
import shlex
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sluice.composition.hydra_options import HELP, MULTIRUN, check_options, chosen_package, find_configuration
from sluice.errors import UserError, reason_of
from sluice.exit_codes import INTERRUPTED, error_message, exit_on_user_error
from sluice.overrides import override_of
from sluice.program import record_training_command, training_command
from sluice.sweeps.report import SweepReport
from sluice.sweeps.search import Search, check_sweeper, register_search, search_error
from sluice.terminal import print_line

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sluice.training.run import Trained

SEARCH_PATHS = ("-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir")
"""Options that set the location of the configuration files."""


def main(conf: Path) -> None:
    """Composes the configuration from the command line and trains; `-m` runs a sweep.

    Exit codes: 0 finished, 2 user error (one sentence), 130 interrupted. Other exceptions print a traceback.

    Args:
        conf: absolute path of the configuration folder.
    """
    record_training_command()
    with exit_on_user_error():
        if set(sys.argv[1:]) & set(HELP):
            from sluice.cli.training_help import training_help

            print_line(training_help(sys.argv[1:], conf))
            return
        _check_environment()
        check_options(sys.argv[1:], conf)
        check_sweeper(sys.argv[1:])
        sys.argv[1:] = sorted(sys.argv[1:], key=lambda argument: argument not in MULTIRUN)  # Hydra needs -m first
        _import_named_code(find_configuration(sys.argv[1:], conf).settings)
        if not any("resume" in argument for argument in sys.argv[1:]):
            _run_hydra(conf)
        elif not _resume_older(conf):
            from sluice.training.stored_settings import resume_arguments

            sys.argv[1:] = resume_arguments(sys.argv[1:], conf)
            _run_hydra(conf)


def _check_environment() -> None:
    """Checks the variables of launchers before Lightning reads them while it is imported."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        if os.environ.get(name):
            from sluice.distributed import environment_number

            environment_number(name)


def _import_named_code(arguments: list[str]) -> None:
    """Checks the chosen groups, and allows the named code files; that of a task is imported before Hydra composes."""
    from sluice.composition.given import check_overrides
    from sluice.config.user_code import allow_named

    check_overrides(arguments)
    allow_named(arguments)
    if any("task.module=" in argument for argument in arguments):
        from sluice.composition.compose import import_named_task

        import_named_task(arguments)


def _resume_older(conf: Path) -> bool:
    """Resumes a run of an earlier version that didn't store its command line; returns False if there is none to resume.

    Command lines with Hydra options or other groups are left to Hydra.
    """
    from sluice.training.stored_settings import restored_config, run_to_resume, stored_overrides

    arguments = sys.argv[1:]
    if any(argument.startswith("-") for argument in arguments):
        return False
    folder = run_to_resume(arguments, conf)
    if folder is None or stored_overrides(folder) is not None:
        return False
    composed = restored_config(folder, arguments, conf)
    if composed is None:
        return False
    failures: list[Failure] = []
    _job(failures, composed, None, None)
    if failures:
        raise failures[0].error
    return True


def _run_hydra(conf: Path) -> None:
    import hydra

    from sluice.composition.errors import explained
    from sluice.config.schema import register_schemas
    from sluice.sweeps.jobs import AnnounceJobs

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting on its own
    register_schemas()
    register_search()
    failures: list[Failure] = []
    jobs: list[int] = []
    search, report = Search(), SweepReport(find_configuration(sys.argv[1:], conf).settings)
    try:
        with explained(sys.argv[1:]), _hydra_errors():
            hydra.main(version_base="1.3", config_path=str(conf), config_name="config")(
                partial(_hydra_job, failures, jobs, search, report)
            )()
    finally:
        AnnounceJobs.restore()
        report.finish()
    search.finish()
    options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    if not jobs and options and set(options) <= set(MULTIRUN) and not any("launcher" in text for text in sys.argv[1:]):
        raise UserError("the sweep has no runs: give at least one value of every swept setting")
    if failures and failures[0].run is not None:
        raise UserError(f"{len(failures)} sweep run{'s' if len(failures) > 1 else ''} failed (see above)")
    if failures:
        raise failures[0].error


@contextmanager
def _hydra_errors() -> Iterator[None]:
    """Converts errors of Hydra's application, its launchers and sweepers to UserError."""
    try:
        yield
    except OSError as error:  # Hydra makes the folder for runs before the job starts
        if error.errno is None:  # Hydra's own MissingConfigException
            raise
        reason = reason_of(error)
        raise UserError(f"{error.filename} cannot be created ({reason}): set paths.output_dir") from error
    except SystemExit as ending:
        package = chosen_package(sys.argv[1:])
        if ending.code != 1 or package is None:
            raise
        raise UserError(f"--package {package} is not in the configuration: name a group or setting") from None
    except AssertionError as error:
        sentence = search_error(error)
        if sentence is not None:
            raise sentence from error
        if not any("max_batch_size" in argument for argument in sys.argv[1:]):
            raise
        raise UserError("hydra.sweeper.max_batch_size must be at least 1, or null for no limit") from error
    except (RuntimeError, ValueError) as error:
        sentence = search_error(error)
        if sentence is not None:
            raise sentence from error
        if not isinstance(error, RuntimeError):
            raise
        if "nvalid plugin" in str(error) or "nknown plugin" in str(error):
            raise UserError(f"the launcher or sweeper cannot be used ({error}): choose hydra/launcher=...") from error
        if not type(error).__module__.startswith("submitit") and "srun" not in str(error):
            raise
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"the launcher cannot submit the jobs ({reason}): use it on a SLURM cluster") from error


class Failure(NamedTuple):
    """A run that failed."""

    run: int | None
    """Its number in the sweep, from 1 on; None outside a sweep."""
    error: Exception


def _hydra_job(
    failures: list[Failure], jobs: list[int], search: Search, report: SweepReport, composed: "DictConfig"
) -> float | None:
    """Calls `_train` with the number of the run, from 1 on unlike Hydra's, and its overrides."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    hydra_config = HydraConfig.get()
    jobs.append(1)
    number = hydra_config.job.num + 1 if hydra_config.mode == RunMode.MULTIRUN else None
    given: Any = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)  # values may be interpolations
    search.begin(hydra_config, composed)
    report.begin(hydra_config, given)
    failed = len(failures)
    try:
        trained = _train(failures, composed, number, given)
    except Exception:  # in a job, whose error is raised in the process that submitted it
        report.end("failed")
        raise
    value, folder = _objective(trained), None if trained is None else trained.folder
    if trained is None:
        report.end("failed" if len(failures) > failed else "done")
    else:
        report.end("finished", trained.results, trained.config.task.monitor, folder)
    search.add(value, folder, given)
    return value


def _job(
    failures: list[Failure], composed: "DictConfig", number: int | None, overrides: list[str] | None
) -> float | None:
    """Trains one run and returns the monitored metric, for Hydra sweepers that optimise it; arguments as `_train`."""
    return _objective(_train(failures, composed, number, overrides))


def _objective(trained: "Trained | None") -> float | None:
    value = None if trained is None else trained.results.get(trained.config.task.monitor)
    return None if value is None else float(value)


def _train(
    failures: list[Failure], composed: "DictConfig", number: int | None, overrides: list[str] | None
) -> "Trained | None":
    """Trains one run; returns None if it failed or has been done before.

    Args:
        failures: errors are appended here instead of raised, since Hydra would print additional lines. In a sweep the
            error is also printed at once, and the other runs continue.
        composed: the composed configuration.
        number: the run's number in the sweep, from 1 on; None outside a sweep.
        overrides: the overrides of the command line; None if they are unknown.
    """
    started = time.monotonic()
    from sluice.composition.errors import explained
    from sluice.config.user_code import add_working_directory
    from sluice.training.run import AlreadyDone, Interrupted, train

    add_working_directory()
    try:
        with explained(overrides or ()):
            return train(composed, sweep_number=number, overrides=overrides, started=started)
    except Interrupted as interrupted:
        print_advice(interrupted.folder)
        raise SystemExit(INTERRUPTED) from None
    except AlreadyDone as done:
        print_line(error_message(done), file=sys.stderr)
        return None
    except (UserError, OSError) as error:
        if "SUBMITIT_EXECUTOR" in os.environ:
            raise  # the process that submitted this job reports it
        failures.append(Failure(number, error))
        if number is not None:
            print_line(f"run {number} failed: {error_message(error)}", file=sys.stderr)
        return None
    except Exception as error:
        if number is None or "SUBMITIT_EXECUTOR" in os.environ:
            raise
        failures.append(Failure(number, error))
        path = getattr(error, "traceback_path", None)
        details = "" if path is None else f" (traceback in {path})"
        print_line(f"run {number} failed: {type(error).__name__}: {error}{details}", file=sys.stderr)
        if path is None:
            traceback.print_exc()
        return None


def print_advice(folder: Path) -> None:
    """Prints the shell command that resumes an interrupted run."""
    from sluice.distributed import global_rank
    from sluice.training.resume import can_resume

    if global_rank() > 0:
        return
    sys.stdout.flush()
    if not can_resume(folder):
        print("No checkpoint was saved yet: start again with the same command.", file=sys.stderr)
        return
    print(f"To resume:\n{resume_command(folder)}", file=sys.stderr)


def resume_command(folder: Path) -> str:
    """The command that resumes a run, with shell quoting."""
    from sluice.training.resume import read_stored_config

    options: list[str] = []
    for index, argument in enumerate(sys.argv):
        if argument in SEARCH_PATHS:
            options += sys.argv[index : index + 2]
        elif argument.split("=")[0] in SEARCH_PATHS:
            options.append(argument)
    try:
        before = read_stored_config(folder)
        named = {f"{group}.module": before[group].get("module") for group in ("model", "task")}
    except UserError:
        named = {}
    code = [override_of(setting, path) for setting, path in named.items() if path is not None]
    return f"{training_command()} {shlex.join([*options, override_of('resume', str(folder)), *code])}"
