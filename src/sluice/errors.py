"""What a person did wrong, said in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(ValueError):
    """A mistake that the person at the keyboard can mend.

    The message is one sentence that names the value, what was expected and what to do. The command line prints it
    without a traceback and exits with code 2; in a notebook it is an ordinary ValueError.
    """


class SharedError(UserError):
    """A UserError that every rank raises at the same time; the first rank alone reports it."""


def unreadable(path: Path | str, error: OSError) -> UserError:
    """The error of a file or folder that cannot be read."""
    return UserError(
        f"{path} cannot be read ({(error.strerror or str(error)).lower()}): check the path and its permissions"
    )


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Whatever the system refuses while `path` is read becomes one sentence.

    Raises:
        UserError: see `unreadable`.
    """
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from error
