"""Exit codes and messages of failing commands."""

import errno
import subprocess
import sys

import pytest

from sluice.errors import UserError
from sluice.exit_codes import error_message, exit_on_user_error


def test_user_error_prints_one_line_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending, exit_on_user_error():
        raise UserError("so it is")
    assert ending.value.code == 2
    assert capsys.readouterr().err == "sluice: so it is\n"


def test_other_exceptions_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError), exit_on_user_error():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7 TiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 8 GiB"),
    ],
)
def test_exhausted_memory_is_one_sentence(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"), exit_on_user_error():
        raise error
    assert capsys.readouterr().err.startswith("sluice: out of memory (")


def test_broken_pipe_ends_quietly() -> None:
    code = (
        "from sluice.exit_codes import exit_on_user_error\nwith exit_on_user_error():\n    print('line\\n' * 100_000)"
    )
    command = f'{sys.executable} -c "{code}" | head -1'
    ended = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (141, "line\n", "")


@pytest.mark.parametrize("stream", [">&-", "2>&-", ">/dev/null"])
def test_closed_or_ascii_streams_are_no_error(stream: str) -> None:
    code = "from sluice.exit_codes import exit_on_user_error\nwith exit_on_user_error():\n    print('é─')"
    command = f'PYTHONIOENCODING=ascii {sys.executable} -c "{code}" {stream}'
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_output_to_a_full_disk_is_one_sentence() -> None:
    command = f"{sys.executable} -m sluice --version > /dev/full"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, "sluice: no space left on device\n")


def test_os_error_sentence_names_the_file() -> None:
    assert error_message(PermissionError(errno.EACCES, "Permission denied", "/x/y")) == "permission denied (/x/y)"
