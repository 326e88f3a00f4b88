"""Parsing of units, and names of figure files."""

from pathlib import Path

import pytest

from sluice.cli.inspect import parse_units
from sluice.errors import UserError
from sluice.plots.save import file_stem, unused_path


@pytest.mark.parametrize(
    ("given", "meant"),
    [("3", [3]), ("3,7,12-15", [3, 7, 12, 13, 14, 15]), (" 5 , 1-2,2", [5, 1, 2]), ("0-0", [0]), ("15", [15])],
)
def test_parse_units_accepts_numbers_and_ranges(given: str, meant: list[int]) -> None:
    assert parse_units(given, 16) == meant


@pytest.mark.parametrize("given", ["", "x", "3-", "-3", "1,,2", "5-2", "1.5", "all"])
def test_invalid_units_are_refused(given: str) -> None:
    with pytest.raises(UserError, match="give numbers and ranges, as in 3,7,12-15"):
        parse_units(given, 16)


@pytest.mark.parametrize(("given", "named"), [("16", 16), ("1,99", 99), ("0-999999999999", 999999999999)])
def test_out_of_range_error_states_the_range(given: str, named: int) -> None:
    with pytest.raises(UserError, match=f"no unit {named}, units are 0-15"):
        parse_units(given, 16)


def test_new_path_never_overwrites_a_file(tmp_path: Path) -> None:
    for expected in ("a.png", "a-2.png", "a-3.png"):
        path = unused_path(tmp_path, "a")
        assert path.name == expected
        path.touch()


@pytest.mark.parametrize(
    ("text", "name"),
    [("Not bad, at all!", "not-bad-at-all"), ("../../etc", "etc"), ("?", "text"), ("Äpfel " * 20, "äpfel")],
)
def test_name_for_makes_a_safe_file_name(text: str, name: str) -> None:
    assert file_stem(text).startswith(name)
    assert len(file_stem(text)) <= 40
    assert not set(file_stem(text)) & set("/. =")
