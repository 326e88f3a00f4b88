"""Ids that tracking services give to runs, stored in the run folder for resuming."""

from pathlib import Path

from sluice.files import write_atomically


def read_run_id(path: Path) -> str | None:
    """Reads the id; None if there is none."""
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def write_run_id(path: Path, run_id: str | None) -> None:
    """Writes the id; does nothing if it is None or written already."""
    if run_id is not None and run_id != read_run_id(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{run_id}\n")
