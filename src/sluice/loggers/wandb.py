"""Logger for Weights & Biases, with one W&B run for a run and its resumptions."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment

from sluice.errors import UserError
from sluice.loggers.run_ids import read_run_id, write_run_id

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

FILE_NAME = "wandb_run_id.txt"


class WeightsAndBiases(WandbLogger):
    """Lightning's WandbLogger, with its files in the run folder.

    The id of the W&B run is stored in the run folder, and a resumed run continues it. With
    WANDB_MODE=offline nothing is uploaded until `wandb sync`.
    """

    requires = ("wandb",)
    """Packages of the extra `wandb`."""
    extra = "wandb"

    def __init__(
        self, *, run_dir: str, project: str | None = None, name: str | None = None, entity: str | None = None
    ) -> None:
        """
        Args:
            run_dir: the run folder.
            project: W&B project; None for WANDB_PROJECT, else "sluice".
            name: name of the W&B run; None for the name of the run folder.
            entity: user or team; None for the default one.
        """
        self._run_dir = Path(run_dir)
        self._project, self._shown_name, self._entity = project, name, entity
        self._stored_id: str | None = None
        self._set_up(None)

    def _set_up(self, run_id: str | None) -> None:
        super().__init__(
            name=self._shown_name or self._run_dir.name,
            save_dir=str(self._run_dir),
            id=run_id,
            project=self._project or os.environ.get("WANDB_PROJECT") or "sluice",
            entity=self._entity,
        )

    @property
    @rank_zero_experiment
    def experiment(self) -> "Run":
        if self._stored_id is not None:
            return super().experiment
        import wandb

        self._run_dir.mkdir(parents=True, exist_ok=True)
        try:
            run = super().experiment
        except wandb.errors.Error as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"logger=wandb cannot be used ({reason}): run wandb login, or set WANDB_MODE=offline"
            ) from error
        self._stored_id = run.id
        write_run_id(self._run_dir / FILE_NAME, run.id)
        return run

    def resume_from(self, step: int) -> None:
        """Continues the W&B run of the run folder."""
        run_id = read_run_id(self._run_dir / FILE_NAME)
        if run_id is not None:
            self._set_up(run_id)

    def close(self) -> None:
        """Ends the W&B run, so that the next run of a sweep starts its own."""
        if self._stored_id is not None:
            self.experiment.finish()
