"""Errors are one sentence that names what is wrong."""

import ast
import re
from pathlib import Path

import pytest

from sluice import errors
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


def test_messages_begin_and_end_alike() -> None:
    """The command line prints them after `sluice: `; Python and other messages quote them."""
    source = Path(errors.__file__).parent
    calls = (
        (file.name, node.lineno, node.args[0])
        for file in sorted(source.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "UserError" and node.args
    )
    wrong = []
    for name, line, message in calls:
        parts = message.values if isinstance(message, ast.JoinedStr) else [message]
        first, last = (part.value if isinstance(part, ast.Constant) else "x" for part in (parts[0], parts[-1]))
        if str(first).startswith(("The ", "There ", "A ", "No ")) or re.search(r"\w\.$", str(last)):
            wrong.append((name, line))
    assert wrong == []
