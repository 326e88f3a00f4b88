"""sluice average: averages the weights of a run's last epochs into one checkpoint."""

import re
from pathlib import Path

from sluice.callbacks.checkpoints import AtomicCheckpointIO
from sluice.callbacks.last_epochs import NAME
from sluice.errors import UserError
from sluice.models.averaging import average_states
from sluice.runs.checkpoint import read_checkpoint
from sluice.terminal import print_line

AVERAGE = "average.ckpt"
EPOCH = re.compile(rf"({NAME}|recent)-\d+\.ckpt")
"""File names of the checkpoints of epochs, which began with "recent" in earlier versions."""


def average_run(run: Path, *, last: int | None) -> None:
    """Writes average.ckpt, the mean of the run's epoch checkpoints, to the run folder.

    Args:
        run: a run folder.
        last: number of epochs to average; None for all saved epochs.

    Raises:
        UserError: if there are fewer than two epoch checkpoints.
    """
    if not run.is_dir():
        raise UserError(f"{run} is not a folder: give a run folder")
    files = [path for path in run.glob("*.ckpt") if EPOCH.fullmatch(path.name)]
    found = sorted(files, key=lambda path: int(path.stem.rpartition("-")[2]))[-(last or 0) :]
    if len(found) < 2:
        raise UserError(
            f"{run} has {len(found)} epoch checkpoints, averaging needs at least two: train with callbacks=last_epochs"
        )
    checkpoints = [read_checkpoint(path)[1] for path in found]
    states = [checkpoint["state_dict"] for checkpoint in checkpoints]
    average = {**checkpoints[-1], "state_dict": average_states(states)}
    AtomicCheckpointIO().save_checkpoint(average, run / AVERAGE)
    print_line(f"Wrote the average of {', '.join(path.name for path in found)} to {run / AVERAGE}")
