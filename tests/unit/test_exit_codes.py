"""How a command ends when something is wrong."""

import errno

import pytest

from sluice.errors import UserError
from sluice.exit_codes import error_message, exit_on_user_error


def test_a_mistake_becomes_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending, exit_on_user_error():
        raise UserError("so it is")
    assert ending.value.code == 2
    assert capsys.readouterr().err == "sluice: so it is\n"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), exit_on_user_error():
        raise ZeroDivisionError
    with pytest.raises(BrokenPipeError), exit_on_user_error():
        raise BrokenPipeError(errno.EPIPE, "broken pipe")


def test_an_error_of_the_outside_world_names_the_file() -> None:
    assert error_message(PermissionError(errno.EACCES, "Permission denied", "/x/y")) == "permission denied (/x/y)"
