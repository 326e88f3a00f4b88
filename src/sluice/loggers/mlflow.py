"""Logger for MLflow, with one MLflow run for a run and its resumptions."""

import logging
import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from sluice.errors import UserError
from sluice.loggers.run_ids import read_run_id, write_run_id
from sluice.plain import Plain

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)

FILE_NAME = "mlflow_run_id.txt"
LOCK = ".mlflow.lock"
"""In the folder of all runs: ranks and the runs of a sweep create the tables of the database one after the other."""


class MLflow(MLFlowLogger):
    """Lightning's MLFlowLogger, by default with an SQLite database in the folder of all runs.

    The id of the MLflow run is stored in the run folder; a resumed run continues that run. MLflow cannot delete
    values, so that steps after the last checkpoint of an interrupted run are logged twice.
    """

    requires = ("mlflow", "sqlalchemy", "alembic")
    """Packages of the extra `mlflow`."""
    extra = "mlflow"

    def __init__(
        self,
        *,
        run_dir: str,
        output_dir: str,
        experiment_name: str = "sluice",
        run_name: str | None = None,
        tracking_uri: str | None = None,
    ) -> None:
        """
        Args:
            run_dir: the run folder.
            output_dir: the folder of all runs.
            experiment_name: MLflow experiment, created if it doesn't exist.
            run_name: name of the MLflow run; None for the name of the run folder.
            tracking_uri: database, folder or server; None for MLFLOW_TRACKING_URI, else mlflow.db in `output_dir`.
        """
        self._run_dir = Path(run_dir)
        default = f"sqlite:///{Path(output_dir).absolute() / 'mlflow.db'}"
        self.uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or default
        self._arguments: dict[str, str | None] = {
            "experiment_name": experiment_name,
            "run_name": run_name or self._run_dir.name,
            "tracking_uri": self.uri,
            "artifact_location": (Path(output_dir).absolute() / "mlartifacts").as_uri()
            if self.uri == default
            else None,
        }
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        with _sentences(self.uri), FileLock(Path(output_dir) / LOCK):
            super().__init__(**self._arguments)  # type: ignore[arg-type]
        self._created = False

    @property
    @rank_zero_experiment
    def experiment(self) -> "MlflowClient":
        if not self._created:
            with _sentences(self.uri):
                _ = super().experiment
            self._created = True
            write_run_id(self._run_dir / FILE_NAME, self.run_id)
        return super().experiment

    def resume_from(self, step: int) -> None:
        """Continues the MLflow run of the run folder; starts a new one if it was deleted."""
        run_id = read_run_id(self._run_dir / FILE_NAME)
        if run_id is None:
            return
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        try:
            MlflowClient(self.uri).update_run(run_id, status="RUNNING")
        except MlflowException:
            log.warning("The MLflow run %s is not in %s: a new one is started.", run_id, self.uri)
            return
        super().__init__(**self._arguments, run_id=run_id)  # type: ignore[arg-type]

    @rank_zero_only
    def log_hyperparams(self, params: Plain | Namespace) -> None:
        """Logs the parameters that the MLflow run does not have; MLflow refuses to change a parameter."""
        given = vars(params) if isinstance(params, Namespace) else params
        known = self.experiment.get_run(self.run_id).data.params
        changed = [name for name, value in given.items() if name in known and known[name] != str(value)[:250]]
        if changed:
            log.warning("MLflow keeps the first values of the changed settings %s.", ", ".join(changed))
        super().log_hyperparams({name: value for name, value in given.items() if name not in known})


@contextmanager
def _sentences(uri: str) -> Iterator[None]:
    """Converts MLflow's errors about the store to UserError."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"logger.mlflow.tracking_uri={uri} cannot be used ({reason}): name a database, a folder or a server"
        ) from error
