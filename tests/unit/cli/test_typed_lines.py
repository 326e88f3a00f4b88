"""Lines typed at a terminal."""

import io
import sys
from collections.abc import Callable

import pytest

from sluice.cli.lines import PROMPT, input_lines, typed_lines
from sluice.errors import UserError


class Terminal(io.TextIOWrapper):
    """A terminal with some input."""

    def __init__(self, typed: bytes = b"") -> None:
        super().__init__(io.BytesIO(typed), encoding="utf-8")

    def isatty(self) -> bool:
        return True


def typing(*lines: str | Exception) -> Callable[[str], str]:
    """Replaces `input`: returns the lines, then raises EOFError as Ctrl-D does."""
    rest = list(lines)

    def typed(prompt: str) -> str:
        assert prompt == PROMPT
        line = rest.pop(0) if rest else EOFError()
        if isinstance(line, Exception):
            raise line
        return line

    return typed


def test_terminal_has_a_prompt_and_line_editing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr("builtins.input", typing("one", "two words"))
    assert list(input_lines(None)) == ["one", "two words"]
    assert "readline" in sys.modules
    assert capfd.readouterr().err == "Type a text and press Enter; Ctrl-D ends.\n"


def test_redirected_output_has_no_prompt(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(b"one\ntwo\n"))
    assert list(typed_lines("the hint")) == ["one", "two"]
    assert capfd.readouterr() == ("", "the hint\n")


def test_typed_line_that_is_not_utf8_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr("builtins.input", typing(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid")))
    with pytest.raises(UserError, match="not UTF-8"):
        list(typed_lines("the hint"))
