"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]

TABLE_SORTS = ("metric", "model", "parameters", "minutes")
"""Orders of the rows of a table of runs."""

Tokenized = Annotated[
    bool | None,
    typer.Option(
        "--tokenized/--raw",
        help="Split the text at white space only, since it is already tokenised; --raw tokenises it even if the "
        "training text was split at white space. Default: as the training text.",
    ),
]


def path(value: str) -> Path:
    """Parses a path on the command line; `Path` takes an empty one for the working directory.

    Raises:
        typer.BadParameter: if it is empty.
    """
    if not value:
        raise typer.BadParameter("it is empty, give a path")
    return Path(value)
