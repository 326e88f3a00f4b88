"""Exit codes, and reporting of user errors in one sentence without a traceback."""

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sluice.errors import SharedError, UserError, reason_of
from sluice.terminal import discard_output, escaped_line, prepare_streams, print_line, silence_libraries

EXIT_CODE = 2
"""Exit code after a user error."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells: 128 + SIGINT."""
LIMITS = (errno.ENAMETOOLONG, errno.EFBIG, errno.EMFILE, errno.ENFILE)
"""Errors of the file system's and the process's limits."""
BROKEN_PIPE = 141
"""Exit code after the reader of a pipe has closed it: 128 + SIGPIPE."""


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Turns a UserError or a common OSError into one sentence on standard error and exit code 2.

    Ctrl-C exits with code 130. Other exceptions propagate; with SLUICE_TRACEBACK=1, user errors do so too.
    """
    prepare_streams()
    silence_libraries()
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        raise SystemExit(BROKEN_PIPE) from None
    except (UserError, OSError, MemoryError, RuntimeError) as error:
        if os.environ.get("SLUICE_TRACEBACK") or not _is_expected(error):
            raise
        rank = os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0"
        prefix = "sluice" if rank == "0" else f"sluice, rank {rank}"
        if rank == "0" or not isinstance(error, SharedError):
            print_line(escaped_line(f"{prefix}: {error_message(error)}"), file=sys.stderr)
        raise SystemExit(EXIT_CODE) from None
    except KeyboardInterrupt:
        print("sluice: interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def error_message(error: Exception) -> str:
    """The message of an error, without the prefix of the command."""
    if _is_out_of_memory(error):
        reason = f" ({str(error).strip().splitlines()[0]})" if str(error).strip() else ""
        tried = re.search(r"you tried to allocate (\d+) bytes", str(error))
        if tried:
            reason = f" ({int(tried[1]) / 2**30:,.1f} GiB are needed at once)"
        return f"out of memory{reason}: choose smaller sizes or batches"
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"{reason_of(error)}{where}"
    return str(error)


def _is_out_of_memory(error: Exception) -> bool:
    """Returns whether numpy, torch on the CPU or torch on a GPU could not allocate memory."""
    messages = ("can't allocate memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(m in str(error) for m in messages)
    )


def _is_expected(error: Exception) -> bool:
    expected = (
        errno.ENOSPC,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        *LIMITS,
    )
    if _is_out_of_memory(error):
        return True
    return isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in (*expected, errno.EDQUOT))
