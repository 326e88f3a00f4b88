"""Errors that are reported to the user in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(ValueError):
    """An error that the user can fix.

    The message is one sentence that names the value, what was expected and what to do. The command line prints it
    without a traceback and exits with code 2; in Python it is an ordinary ValueError.
    """


class SharedError(UserError):
    """A UserError that all ranks raise at the same time; only rank 0 reports it."""


def unreadable(path: Path | str, error: OSError) -> UserError:
    """Returns the error for a file or folder that cannot be read."""
    return UserError(
        f"{path} cannot be read ({(error.strerror or str(error)).lower()}): check the path and its permissions"
    )


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
