"""Whatever cannot be read is one sentence that names the path."""

from pathlib import Path

import pytest

from sluice.errors import UserError, reading, unreadable


def test_the_reason_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(
            UserError, match=r"none.txt cannot be read \(no such file or directory\): check the path"
        ) as told,
        reading(tmp_path / "none.txt"),
    ):
        (tmp_path / "none.txt").read_bytes()
    assert isinstance(told.value.__cause__, FileNotFoundError)


def test_an_error_without_a_number() -> None:
    assert str(unreadable("a.zip", OSError("Truncated file"))).startswith("a.zip cannot be read (truncated file)")


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), reading("a.txt"):
        raise KeyError("b")
