"""Where a command's pictures go: a file that wasn't there, and TensorBoard."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "inspect"
"""Of a run, for its pictures; to TensorBoard it is a run of its own, so that the training's events stay alone."""
MAX_NAME_LENGTH = 40
DPI = 110


def check_unused(path: Path | None) -> None:
    """
    Raises:
        UserError: if the file is there already.
    """
    if path is not None and path.exists():
        raise UserError(f"--png {path} is there already: choose another name, or remove it")


def unused_path(folder: Path, stem: str) -> Path:
    """folder/stem.png, with a number where that is taken; makes the folder."""
    folder.mkdir(exist_ok=True)
    names = (f"{stem}{'' if number == 1 else f'-{number}'}.png" for number in range(1, 10_000))
    return next(folder / name for name in names if not (folder / name).exists())


def file_stem(text: str) -> str:
    """The beginning of a text as part of a file's name."""
    return re.sub(r"\W+", "-", text.lower())[:MAX_NAME_LENGTH].strip("-") or "text"


def save_figure(figure: "Figure", path: Path) -> None:
    """Writes a matplotlib figure.

    Raises:
        UserError: if the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=DPI)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be written: {str(error).splitlines()[0]}") from error


def add_to_tensorboard(folder: Path, tag: str, figure: "Figure") -> None:
    """Adds the figure to the images of a folder of events.

    Raises:
        UserError: if they cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter

    try:
        with SummaryWriter(str(folder)) as writer:
            writer.add_figure(tag, figure)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from error
