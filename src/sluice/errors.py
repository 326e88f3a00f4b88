"""Errors that are reported to the user in one sentence."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar


class UserError(ValueError):
    """An error that the user can fix.

    The message is one sentence that names the value, what was expected and what to do. The command line prints it
    without a traceback and exits with code 2; in Python it is an ordinary ValueError.
    """


class SharedError(UserError):
    """A UserError that all ranks raise at the same time; only rank 0 reports it."""


def reason_of(error: OSError) -> str:
    """The system's description of an error, such as "permission denied"."""
    return (error.strerror or str(error)).lower()


def unreadable(path: Path | str, error: OSError) -> UserError:
    """Returns the error for a file or folder that cannot be read."""
    return UserError(f"{path} cannot be read ({reason_of(error)}): check the path and its permissions")


def invalid_yaml(error: Exception) -> UserError:
    """Returns the error for a file that the package yaml cannot read; the line is named if the exception has it."""
    mark = getattr(error, "problem_mark", None)
    name = getattr(mark, "name", getattr(error, "name", "a configuration file"))
    reason = getattr(error, "problem", getattr(error, "reason", None)) or str(error).splitlines()[0]
    line = "" if mark is None else f", line {mark.line + 1}"
    return UserError(f"{name}{line} cannot be read as YAML ({reason}): correct it")


Item = TypeVar("Item")


def not_empty(items: Iterable[Item], message: str) -> Iterator[Item]:
    """Yields the items.

    Raises:
        UserError: with the message, if there are none.
    """
    empty = True
    for item in items:
        empty = False
        yield item
    if empty:
        raise UserError(message)


def check_output(option: str, path: Path | None) -> None:
    """Checks that a file can be written, before it is computed.

    Args:
        option: the option that names it.
        path: the file; None for none.

    Raises:
        UserError: if it is a folder, its folder does not exist, or it is a file that exists.
    """
    if path is not None and path.is_dir():
        raise UserError(f"{option} {path} cannot be written: it is a folder, name a file in it")
    if path is not None and path.is_file():
        raise UserError(f"{option} {path} already exists: choose another name or delete the file")
    if path is not None and not path.parent.is_dir():
        raise UserError(f"{option} {path} cannot be written: there is no folder {path.parent}, create it first")


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turns an OSError raised while reading `path` into a UserError.

    Raises:
        UserError: see `unreadable`.
    """
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from error
