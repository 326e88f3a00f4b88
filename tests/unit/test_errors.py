"""An unreadable file is reported in one sentence that names its path."""

from pathlib import Path

import pytest

from sluice.errors import UserError, reading, unreadable


def test_error_names_path_and_reason(tmp_path: Path) -> None:
    with (
        pytest.raises(
            UserError, match=r"none.txt cannot be read \(no such file or directory\): check the path"
        ) as error,
        reading(tmp_path / "none.txt"),
    ):
        (tmp_path / "none.txt").read_bytes()
    assert isinstance(error.value.__cause__, FileNotFoundError)


def test_os_error_without_errno_is_reported() -> None:
    assert str(unreadable("a.zip", OSError("Truncated file"))).startswith("a.zip cannot be read (truncated file)")


def test_other_exceptions_are_not_caught() -> None:
    with pytest.raises(KeyError), reading("a.txt"):
        raise KeyError("b")
