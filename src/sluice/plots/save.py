"""Saving figures to files and to TensorBoard."""

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.errors import UserError, check_output, reason_of
from sluice.terminal import print_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "inspect"
"""Subfolder of a run folder for its figures, with TensorBoard events that are separate from those of the training."""
MAX_NAME_LENGTH = 40
DPI = 110


FORMATS = (".png", ".pdf", ".svg", ".jpg")


def check_figure(option: str, path: Path | None) -> None:
    """Checks that a figure can be written to a file, before it is drawn.

    Args:
        option: the option that names the file.
        path: the file; None for none.

    Raises:
        UserError: if its extension is not that of a known format, it is a folder, or its folder does not exist.
    """
    check_output(option, path)
    if path is not None and path.suffix.lower() not in FORMATS:
        raise UserError(f"{option} {path} cannot be written: its name must end in one of {', '.join(FORMATS)}")


def unused_path(folder: Path, stem: str) -> Path:
    """Returns folder/stem.png, or folder/stem-N.png if that file exists; creates the folder.

    Raises:
        UserError: if the folder cannot be created.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be created ({reason_of(error)}): name the plot with --png FILE") from error
    names = (f"{stem}{'' if number == 1 else f'-{number}'}.png" for number in range(1, 10_000))
    return next(folder / name for name in names if not (folder / name).exists())


def file_stem(text: str) -> str:
    """The beginning of a text as a file name without extension."""
    return re.sub(r"\W+", "-", text.lower())[:MAX_NAME_LENGTH].strip("-") or "text"


def save_figure(figure: "Figure", path: Path) -> None:
    """Saves a matplotlib figure to a file.

    Args:
        figure: the figure.
        path: the file; its extension is the format.

    Raises:
        UserError: if the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=DPI)
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error).splitlines()[0]
        raise UserError(f"{path} cannot be written ({reason}): choose another file name") from error


def add_to_tensorboard(folder: Path, tag: str, figure: "Figure", *, required: bool) -> str:
    """Writes a figure as a TensorBoard image.

    Args:
        folder: folder of the event file, in a run folder.
        tag: name of the image.
        figure: the figure.
        required: whether it is an error that the event file cannot be written, instead of a note.

    Returns:
        A line, after a line break, with the command that shows it; empty if it could not be written.

    Raises:
        UserError: if the event file cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter

    try:
        with SummaryWriter(str(folder)) as writer:
            writer.add_figure(tag, figure)
    except OSError as error:
        problem = f"{folder} cannot be written: {reason_of(error)}"
        if required:
            raise UserError(problem) from error
        print_line(f"note: the plot is not in TensorBoard, {problem}", file=sys.stderr)
        return ""
    return f"\nIn TensorBoard: tensorboard --logdir {shlex.quote(str(folder.parent))}"
