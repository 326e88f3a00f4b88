"""How a command ends when something is wrong: one sentence and exit code 2, no traceback for a person's mistake."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sluice.errors import SharedError, UserError
from sluice.terminal import print_line

EXIT_CODE = 2
INTERRUPTED = 130
"""As a shell says of a program that Ctrl-C ended."""


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Turns a UserError, and the errors of the outside world, into a sentence on standard error and exit code 2.

    Ctrl-C gives exit code 130. Anything else is a bug and keeps its traceback. SLUICE_TRACEBACK=1 shows the
    traceback of the former too.
    """
    try:
        yield
    except (UserError, OSError) as error:
        if os.environ.get("SLUICE_TRACEBACK") or not _is_expected(error):
            raise
        rank = os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0"
        who = "sluice" if rank == "0" else f"sluice, rank {rank}"
        if rank == "0" or not isinstance(error, SharedError):
            print_line(f"{who}: {error_message(error)}", file=sys.stderr)
        raise SystemExit(EXIT_CODE) from None
    except KeyboardInterrupt:
        print("sluice: interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def error_message(error: Exception) -> str:
    """What is said of an error."""
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"{(error.strerror or str(error)).lower()}{where}"
    return str(error)


def _is_expected(error: Exception) -> bool:
    expected = (errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
    return isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in (*expected, errno.EDQUOT))
