"""Printing the reports of trainer.profiler."""

from pathlib import Path

from sluice.terminal import print_line
from sluice.training.trainer import PROFILE


class ProfilerReports:
    """The reports that a profiler appends to fit-profile.txt and test-profile.txt in the run folder."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: the run folder; reports that it has already, of a resumed run, are not printed.
        """
        self._folder = folder
        self._sizes = {path: path.stat().st_size for path in self._files()}

    def print(self) -> None:
        """Prints the new reports, and the names of their files; prints nothing without a profiler."""
        for path in self._files():
            with path.open("rb") as file:
                file.seek(self._sizes.get(path, 0))
                report = file.read().decode(errors="replace").strip()
            if report:
                print_line(f"\n{path}\n{report}")

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"*-{PROFILE}*.txt"))
