"""metrics.csv: every row once, for any columns and any number of resumed runs."""

import csv
from pathlib import Path

import pytest

from sluice.loggers.csv import CSVLog


def read(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without empty fields."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def header(folder: Path) -> list[str]:
    return (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()[0].split(",")


def logged(folder: Path, *steps: int, start: int | None = None) -> CSVLog:
    """A log with a loss of each step, saved."""
    log = CSVLog(run_dir=str(folder))
    if start is not None:
        log.resume_from(start)
    for step in steps:
        log.log_metrics({"loss": step / 8}, step)
    log.save()
    return log


def test_each_row_holds_a_step_and_its_metrics(tmp_path: Path) -> None:
    log = CSVLog(run_dir=str(tmp_path))
    log.log_metrics({"loss": 0.25, "accuracy": 1.0}, 3)
    log.log_metrics({"loss": 0.1})
    log.save()
    assert read(tmp_path) == [{"step": "3", "loss": "0.25", "accuracy": "1.0"}, {"step": "0", "loss": "0.1"}]
    assert header(tmp_path) == ["step", "accuracy", "loss"]


def test_values_are_written_exactly(tmp_path: Path) -> None:
    log = CSVLog(run_dir=str(tmp_path))
    log.log_metrics({"loss": 0.1 + 0.2, "tiny": 5e-324}, 0)
    log.save()
    (row,) = read(tmp_path)
    assert (float(row["loss"]), float(row["tiny"])) == (0.1 + 0.2, 5e-324)


def test_saving_again_appends_only_new_rows(tmp_path: Path) -> None:
    log = logged(tmp_path, 0, 1)
    before = (tmp_path / "metrics.csv").read_text(encoding="utf-8")
    log.save()
    log.log_metrics({"loss": 0.5}, 2)
    log.save()
    log.finalize("success")
    assert (tmp_path / "metrics.csv").read_text(encoding="utf-8") == before + "2,0.5\n"


def test_new_column_is_added_to_all_rows(tmp_path: Path) -> None:
    log = logged(tmp_path, 0, 1)
    log.log_metrics({"val/loss": 0.75, "val/accuracy": 0.5}, 1)
    log.save()
    log.log_metrics({"loss": 0.25}, 2)
    log.save()
    assert header(tmp_path) == ["step", "loss", "val/accuracy", "val/loss"]
    assert [row["step"] for row in read(tmp_path)] == ["0", "1", "1", "2"]
    assert read(tmp_path)[2] == {"step": "1", "val/loss": "0.75", "val/accuracy": "0.5"}
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]


def test_run_without_metrics_writes_no_file(tmp_path: Path) -> None:
    CSVLog(run_dir=str(tmp_path / "run")).finalize("failed")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("start", [0, 2, 4, 7])
def test_resumed_run_keeps_the_rows_before_its_step(tmp_path: Path, start: int) -> None:
    logged(tmp_path, *range(4))
    logged(tmp_path, *range(start, 6), start=start)
    steps = [int(row["step"]) for row in read(tmp_path)]
    assert steps == [*range(min(start, 4)), *range(start, 6)]


def test_resuming_removes_rows_from_its_step_on(tmp_path: Path) -> None:
    logged(tmp_path, *range(4))
    CSVLog(run_dir=str(tmp_path)).resume_from(2)
    assert [row["step"] for row in read(tmp_path)] == ["0", "1"]


def test_resuming_twice_duplicates_no_row(tmp_path: Path) -> None:
    logged(tmp_path, *range(3))
    logged(tmp_path, 2, 3, start=2)
    logged(tmp_path, 2, 3, 4, start=2)
    assert [row["step"] for row in read(tmp_path)] == ["0", "1", "2", "3", "4"]


def test_resumed_run_can_add_columns(tmp_path: Path) -> None:
    logged(tmp_path, 0, 1)
    log = CSVLog(run_dir=str(tmp_path))
    log.resume_from(1)
    log.log_metrics({"loss": 0.5, "accuracy": 0.25}, 1)
    log.save()
    assert read(tmp_path) == [{"step": "0", "loss": "0.0"}, {"step": "1", "loss": "0.5", "accuracy": "0.25"}]


def test_resuming_does_not_round_earlier_values(tmp_path: Path) -> None:
    log = CSVLog(run_dir=str(tmp_path))
    log.log_metrics({"loss": 1 / 3}, 0)
    log.save()
    logged(tmp_path, 1, start=1)
    assert float(read(tmp_path)[0]["loss"]) == 1 / 3


def test_row_truncated_by_a_kill_is_dropped(tmp_path: Path) -> None:
    logged(tmp_path, 0, 1, 2)
    path = tmp_path / "metrics.csv"
    path.write_text(path.read_text(encoding="utf-8")[: -len("2,0.25\n")], encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        file.write(",0.2")
    logged(tmp_path, 2, 3, start=2)
    assert [row["step"] for row in read(tmp_path)] == ["0", "1", "2", "3"]


def test_row_truncated_within_its_step_is_dropped(tmp_path: Path) -> None:
    logged(tmp_path, 0, 1, 12)
    path = tmp_path / "metrics.csv"
    path.write_text(path.read_text(encoding="utf-8")[: -len("2,1.5\n")], encoding="utf-8")
    logged(tmp_path, 12, start=12)
    assert [row["step"] for row in read(tmp_path)] == ["0", "1", "12"]


def test_resuming_without_a_file_creates_one(tmp_path: Path) -> None:
    logged(tmp_path, 5, start=5)
    assert read(tmp_path) == [{"step": "5", "loss": "0.625"}]


def test_empty_file_is_treated_as_missing(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").touch()
    logged(tmp_path, 5, start=5)
    assert read(tmp_path) == [{"step": "5", "loss": "0.625"}]
