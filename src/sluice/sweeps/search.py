"""Searches for settings by Hydra's Optuna sweeper: direction, and the best trial."""

import importlib
import importlib.util
import re
import sys
from dataclasses import field, make_dataclass
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, NamedTuple

import yaml

from sluice.errors import UserError
from sluice.exit_codes import EXIT_CODE, error_message
from sluice.files import write_atomically
from sluice.terminal import print_line

if TYPE_CHECKING:
    from hydra.conf import HydraConf
    from omegaconf import DictConfig

PLUGIN = "hydra_plugins.hydra_optuna_sweeper"
SWEEPER = "hydra/sweeper"
DIRECTIONS = {"max": "maximize", "min": "minimize"}
RESULTS, BEST = "optimization_results.yaml", "best_trial.yaml"
"""Files in the folder of the sweep: that of the sweeper, and that of Sluice."""
DIRECTION_SETTING = "hydra.sweeper.direction"
COUNTS = ("hydra.sweeper.n_trials", "hydra.sweeper.n_jobs")
"""Settings of the sweeper that are numbers of at least 1."""


class Trial(NamedTuple):
    """A finished run of a search."""

    value: float | None
    folder: Path | None
    command: list[str]
    """Its overrides."""


class Search:
    """The trials of a search, in this process."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        """The folder of the sweep; None if Optuna is not used."""
        self.monitor: str | None = None
        self.maximises = True
        self.trials: list[Trial] = []

    def begin(self, hydra_config: "HydraConf", composed: "DictConfig") -> None:
        """Checks the objective of a trial; ends the program if it is not the same for all trials.

        Args:
            hydra_config: Hydra's configuration of the job.
            composed: the configuration of the run.
        """
        if "optuna" not in str(hydra_config.sweeper.get("_target_")).lower():
            return
        self.folder = Path(hydra_config.sweep.dir)
        monitor, mode, direction = composed.task.monitor, composed.task.mode, hydra_config.sweeper.direction
        problem = None
        if direction != DIRECTIONS.get(mode):
            problem = (
                f"{DIRECTION_SETTING}={direction} cannot be used with task.monitor={monitor}, whose best value is its "
                f"{'largest' if mode == 'max' else 'smallest'}: leave the direction out, it follows task.mode"
            )
        elif self.monitor not in (None, monitor):
            problem = f"the trials have the objectives {self.monitor} and {monitor}: do not search over task.monitor"
        if problem:  # a UserError would only fail this trial
            print_line(f"sluice: {error_message(UserError(problem))}", file=sys.stderr)
            raise SystemExit(EXIT_CODE)
        self.monitor, self.maximises = monitor, mode == "max"

    def add(self, value: float | None, folder: Path | None, overrides: list[str]) -> None:
        """Adds a finished or failed trial.

        Args:
            value: its objective; None if it failed.
            folder: its run folder.
            overrides: its overrides.
        """
        self.trials.append(Trial(value, folder, overrides))

    def finish(self) -> None:
        """Prints the best trial, and writes it to best_trial.yaml; does nothing if Optuna was not used.

        With a launcher that runs the trials in other processes, the results are those of the sweeper's file.
        """
        path = None if self.folder is None else self.folder / RESULTS
        if path is None or not path.is_file():
            return
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        finished = [trial for trial in self.trials if trial.value is not None]
        best = {"monitor": self.monitor, "value": found["best_value"], "settings": found["best_params"]}
        if finished:
            sign = 1 if self.maximises else -1
            trial = max(finished, key=lambda each: sign * (each.value or 0.0))
            best |= {"run": None if trial.folder is None else str(trial.folder), "overrides": trial.command}
        best |= {"trials": len(self.trials), "failed": len(self.trials) - len(finished)}
        write_atomically(path.with_name(BEST), yaml.safe_dump(best, sort_keys=False, allow_unicode=True))
        settings = " ".join(f"{name}={value}" for name, value in found["best_params"].items())
        print_line(f"Best trial: {self.monitor} {found['best_value']:.4f} with {settings}")
        if best.get("run"):
            print_line(f"Run: {best['run']}")
        print_line(f"Stored in {path.with_name(BEST)}")


def register_search() -> None:
    """Gives Hydra's Optuna sweeper, if it is installed, the direction of the task, and the seed of the run.

    Failed trials don't end the search.
    """
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("optuna_direction", DIRECTIONS.__getitem__, replace=True)
    if importlib.util.find_spec("hydra_plugins") is None or importlib.util.find_spec(PLUGIN) is None:
        return
    Plugins.instance()  # registers the plugins' own settings, once
    config = importlib.import_module(f"{PLUGIN}.config")
    store = ConfigStore.instance()
    direction = ("direction", str, field(default="${optuna_direction:${task.mode}}"))
    failures = ("max_failure_rate", float, field(default=1.0))
    jobs = ("n_jobs", int, field(default=1))  # each trial uses the results of all before it
    made = make_dataclass("Search", [direction, failures, jobs], bases=(config.OptunaSweeperConf,))
    store.store("optuna", made, SWEEPER)
    seed = ("seed", int | None, field(default="${seed}"))
    store.store("tpe", make_dataclass("Sampler", [seed], bases=(config.TPESamplerConfig,)), f"{SWEEPER}/sampler")


def check_sweeper(arguments: list[str]) -> None:
    """Refuses settings of the sweeper on the command line that would be ignored or fail after its start.

    Raises:
        UserError: for a direction, or a number of trials or jobs below 1.
    """
    for argument in arguments:
        if argument.lstrip("+").startswith(f"{DIRECTION_SETTING}="):
            raise UserError(f"{argument} cannot be set: the direction follows task.mode, leave it out")
        key, _, value = argument.lstrip("+").partition("=")
        if key in COUNTS and re.fullmatch(r"0|-\d+", value.strip()):
            raise UserError(f"{argument} cannot be used: it must be at least 1")


def search_error(error: Exception) -> UserError | None:
    """Returns the sentence for an error of the sweeper; None for other errors."""
    text = str(error)
    if "No trials are completed" in text:
        return UserError("no trial of the search finished (see above): check the settings that it searches over")
    if isinstance(error, AssertionError) and any("_rdb" in frame.filename for frame in extract_tb(error.__traceback__)):
        return UserError(
            "hydra.sweeper.storage cannot be used with SQLAlchemy 2, which Optuna 2 does not support: leave it out, or "
            "pip install 'sqlalchemy<2' 'alembic<1.14'"
        )
    return None
