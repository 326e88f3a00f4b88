"""The entry of train.py: Hydra's command line around `training.train`."""

import os
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sluice.cli.failing import INTERRUPTED, politely, sentence
from sluice.errors import UserError

MULTIRUN = ("-m", "--multirun")
OPTIONS = (
    *MULTIRUN,
    *("-r", "--run", "-c", "--cfg", "-i", "--info", "-p", "--package", "--resolve", "--hydra-help", "--version"),
    *("-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir", "-sc", "--shell-completion"),
    "--experimental-rerun",
)
"""Hydra's own options."""


def main(conf: Path) -> None:
    """Reads the command line, composes, trains; `-m` runs a sweep.

    Exit codes: 0 done, 2 a mistake in one sentence, 130 interrupted. A bug keeps its traceback.

    Args:
        conf: absolute path of the configuration folder.
    """
    if set(sys.argv[1:]) & {"--help", "-h"}:
        from sluice.cli.help import training_help

        print(training_help(conf))
        return
    with politely():
        sys.argv[1:] = _in_hydras_order(sys.argv[1:])
        _run_hydra(conf)


def _in_hydras_order(arguments: list[str]) -> list[str]:
    """The arguments with `-m` first: Hydra's parser stumbles over it behind a setting.

    Raises:
        UserError: for an option that Hydra doesn't have, which its parser would answer with a screenful.
    """
    unknown = [option for option in arguments if option.startswith("-") and option.split("=")[0] not in OPTIONS]
    if unknown:
        raise UserError(
            f"there is no option {unknown[0]}: settings are written key=value, without dashes, "
            "see python train.py --help"
        )
    return sorted(arguments, key=lambda argument: argument not in MULTIRUN)


def _run_hydra(conf: Path) -> None:
    import hydra

    from sluice.cli.explaining import explained
    from sluice.cli.schema import register_schemas

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting on its own
    register_schemas()
    failures: list[Failure] = []
    with explained():
        try:
            hydra.main(version_base="1.3", config_path=str(conf), config_name="config")(partial(_job, failures))()
        except OSError as error:  # Hydra makes the folder for runs before the job starts
            if error.errno is None:  # Hydra's own MissingConfigException
                raise
            reason = (error.strerror or str(error)).lower()
            raise UserError(f"{error.filename} cannot be made ({reason}): set paths.output_dir") from error
    if failures and failures[0].run is not None:
        raise UserError(f"runs of the sweep that could not be done, as said above: {len(failures)}")
    if failures:
        raise failures[0].error


class Failure(NamedTuple):
    """A run that could not be done."""

    run: int | None
    """Its place in the sweep; None for a run alone."""
    error: Exception


def _job(failures: list[Failure], composed: Any) -> float | None:
    """One run; the monitored metric, for sweepers that look for the best.

    A mistake in the configuration goes to `failures` (Hydra would print lines of its own around it); in a sweep it is
    said at once and the other runs go on.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from sluice.cli.training import AlreadyDone, Interrupted, train

    hydra_config = HydraConfig.get()
    number = hydra_config.job.num if hydra_config.mode == RunMode.MULTIRUN else None
    try:
        trained = train(composed, sweep_number=number)
    except Interrupted:
        raise SystemExit(INTERRUPTED) from None
    except AlreadyDone as done:
        print(sentence(done), file=sys.stderr)
        return None
    except (UserError, OSError) as error:
        if "SUBMITIT_EXECUTOR" in os.environ:
            raise  # in a job of its own: the process that submitted it says it
        failures.append(Failure(number, error))
        if number is not None:
            print(f"run {number} of the sweep: {sentence(error)}", file=sys.stderr)
        return None
    except Exception as error:
        if number is None or "SUBMITIT_EXECUTOR" in os.environ:
            raise
        failures.append(Failure(number, error))
        kept = getattr(error, "kept_in", None)
        print(f"run {number} of the sweep: {type(error).__name__}: {error} (traceback in {kept})", file=sys.stderr)
        if kept is None:
            traceback.print_exc()
        return None
    value = trained.results.get(trained.config.task.monitor)
    return None if value is None else float(value)
