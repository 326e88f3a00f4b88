"""Text of any origin is printed as it is to a pipe, and cannot control a terminal."""

import io
from typing import Any

import pytest
from rich.table import Table

from sluice import terminal
from sluice.terminal import PlainConsole, print_line, print_table, printable

HOSTILE = "a\x1b[31mred\x1b]0;title\x07\x9b2J\u202egnp.exe\rb"
ESCAPED = "a\\x1b[31mred\\x1b]0;title\\x07\\x9b2J\\u202egnp.exe\\rb"


class Screen(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_control_characters_are_escaped() -> None:
    assert printable(HOSTILE) == ESCAPED


@pytest.mark.parametrize("text", ["plain", "tab\tand\nline", "naïve Ünïcode 漢字 🎉", "a\u0301", "\\x1b"])
def test_other_text_is_not_changed(text: str) -> None:
    assert printable(text) == text


def test_a_line_is_escaped_on_a_terminal_only() -> None:
    screen, pipe = Screen(), io.StringIO()
    print_line(HOSTILE, file=screen)
    print_line(HOSTILE, file=pipe)
    assert screen.getvalue() == ESCAPED + "\n"
    assert pipe.getvalue() == HOSTILE + "\n"


@pytest.mark.parametrize("label", ["[/INST]", "[red]", ":smile:", "[bold", "\\[x]"])
def test_a_label_in_a_table_is_not_markup(label: str, capsys: Any) -> None:
    table = Table(title=label)
    table.add_column(label)
    table.add_row(label)
    print_table(table)
    assert capsys.readouterr().out.count(label) == 3


def test_a_table_cannot_control_the_terminal() -> None:
    screen = Screen()
    table = Table()
    table.add_column("label")
    table.add_row(HOSTILE)
    PlainConsole(file=screen, force_terminal=True, color_system=None, width=120).print(table)
    assert "\x1b" not in screen.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "\\x1b[31mred" in screen.getvalue()


def test_a_console_gives_a_pipe_what_it_was_given() -> None:
    pipe = io.StringIO()
    PlainConsole(file=pipe, soft_wrap=True).print(f"[red] {HOSTILE} :smile:")
    assert pipe.getvalue() == f"[red] {HOSTILE} :smile:\n"


def test_a_table_is_as_wide_as_its_content(capsys: Any) -> None:
    table = Table(box=None)
    table.add_column("x" * 300, no_wrap=True)
    print_table(table)
    assert "x" * 300 in capsys.readouterr().out
    assert terminal.PlainConsole().width < 300
