"""Text is printed unchanged to a pipe and escaped on a terminal."""

import io
import sys
from typing import Any

import pytest
from rich.table import Table

from sluice import terminal
from sluice.terminal import PlainConsole, duration, escaped_line, prepare_streams, print_line, print_table, printable

HOSTILE = "a\x1b[31mred\x1b]0;title\x07\x9b2J\u202egnp.exe\rb"
ESCAPED = "a\\x1b[31mred\\x1b]0;title\\x07\\x9b2J\\u202egnp.exe\\rb"


class Screen(io.StringIO):
    """A stream whose `isatty` is true."""

    def isatty(self) -> bool:
        return True


def test_control_characters_are_escaped() -> None:
    assert printable(HOSTILE) == ESCAPED


@pytest.mark.parametrize("text", ["plain", "tab\tand\nline", "naïve Ünïcode 漢字 🎉", "a\u0301", "\\x1b"])
def test_other_text_is_unchanged(text: str) -> None:
    assert printable(text) == text


def test_line_is_escaped_on_a_terminal_only() -> None:
    screen, pipe = Screen(), io.StringIO()
    print_line(HOSTILE, file=screen)
    print_line(HOSTILE, file=pipe)
    assert screen.getvalue() == ESCAPED + "\n"
    assert pipe.getvalue() == HOSTILE + "\n"


@pytest.mark.parametrize("label", ["[/INST]", "[red]", ":smile:", "[bold", "\\[x]"])
def test_table_labels_are_not_interpreted_as_markup(label: str, capsys: Any) -> None:
    table = Table(title=label)
    table.add_column(label)
    table.add_row(label)
    print_table(table)
    assert capsys.readouterr().out.count(label) == 3


def test_control_characters_in_tables_are_escaped() -> None:
    screen = Screen()
    table = Table()
    table.add_column("label")
    table.add_row(HOSTILE)
    PlainConsole(file=screen, force_terminal=True, color_system=None, width=120).print(table)
    assert "\x1b" not in screen.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "\\x1b[31mred" in screen.getvalue()


def test_console_prints_unchanged_text_to_a_pipe() -> None:
    pipe = io.StringIO()
    PlainConsole(file=pipe, soft_wrap=True).print(f"[red] {HOSTILE} :smile:")
    assert pipe.getvalue() == f"[red] {HOSTILE} :smile:\n"


class Closed(io.StringIO):
    """A pipe whose reader has closed it."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_closed_pipe_is_an_error_of_the_caller() -> None:
    with pytest.raises(BrokenPipeError):
        PlainConsole(file=Closed(), force_terminal=True).print("text")


def test_closed_standard_input_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    prepare_streams()
    with sys.stdin as replaced:
        assert (replaced.isatty(), replaced.buffer.read()) == (False, b"")


def test_table_is_as_wide_as_its_content(capsys: Any) -> None:
    table = Table(box=None)
    table.add_column("x" * 300, no_wrap=True)
    print_table(table)
    assert "x" * 300 in capsys.readouterr().out
    assert terminal.PlainConsole().width < 300


def test_escaped_line_has_no_line_breaks() -> None:
    assert escaped_line("a\tb\u2028c\x85\n\x1fé\u200f") == "a\\tb\\u2028c\\x85\\n\\x1fé\u200f"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.7, "59 s"),
        (60, "1 min 0 s"),
        (725, "12 min 5 s"),
        (11520, "3 h 12 min"),
    ],
)
def test_durations_have_readable_units(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
