"""Logger that writes metrics.csv."""

import csv
import os
from argparse import Namespace
from pathlib import Path

from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from sluice.errors import UserError
from sluice.files import Guard
from sluice.plain import Plain


class CSVLog(Logger):
    """Writes a row for each logged step to metrics.csv in the run's folder; a resumed run appends to it.

    Rows are appended, but the file is rewritten if a metric needs a new column.
    """

    def __init__(self, *, run_dir: str) -> None:
        """
        Args:
            run_dir: the run's folder.
        """
        super().__init__()
        self.path = Path(run_dir) / "metrics.csv"
        self._rows: list[dict[str, float | str]] = []
        self._written, self._columns = 0, ["step"]
        self.guard: Guard | None = None
        """Checked before every write."""

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> "CSVLog":
        return self

    def resume_from(self, step: int) -> None:
        """Keeps the rows of an earlier process with steps below `step`, and deletes the others."""
        if not self.path.exists():
            return
        # the last line is incomplete if the process was killed
        complete, _, _ = self.path.read_text(encoding="utf-8").rpartition("\n")
        rows = [{name: value for name, value in row.items() if value} for row in csv.DictReader(complete.splitlines())]
        self._rows = [row for row in rows if row.get("step", "").isdecimal() and int(row["step"]) < step]
        self._columns = list(dict.fromkeys(["step", *(name for row in self._rows for name in row if name)]))
        self._written = 0
        self.save()

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._rows.append({"step": step or 0, **{name: float(value) for name, value in metrics.items()}})

    @rank_zero_only
    def log_hyperparams(self, params: Plain | Namespace, *args: object, **kwargs: object) -> None:
        """Does nothing; hyperparameters are in config.yaml."""

    @rank_zero_only
    def save(self) -> None:
        if self.guard is not None:
            try:
                self.guard.check()
            except UserError:
                return  # the same error stops training on all ranks
        new = list(dict.fromkeys(name for row in self._rows[self._written :] for name in row))
        unknown = [name for name in new if name not in self._columns]
        if self._written == 0 or unknown:
            self._columns += sorted(unknown)
            self._write_all()
        elif self._written < len(self._rows):
            with self.path.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self._columns).writerows(self._rows[self._written :])
        self._written = len(self._rows)

    def _write_all(self) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self._rows)
        temporary.replace(self.path)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._rows:
            self.save()
