"""Exit codes and messages of failing commands."""

import errno

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
    with pytest.raises(BrokenPipeError), exit_on_user_error():
        raise BrokenPipeError(errno.EPIPE, "broken pipe")


def test_os_error_sentence_names_the_file() -> None:
    assert error_message(PermissionError(errno.EACCES, "Permission denied", "/x/y")) == "permission denied (/x/y)"
