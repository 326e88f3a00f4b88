"""Generated programs: results, length, nesting, curricula, and splits."""

import ast
import contextlib
import io
import re
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.data.corpus import SPLITS
from sluice.data.synthetic.execute import CURRICULA, SYMBOLS, Difficulty, Execute, Program, write_program
from sluice.errors import UserError

SIZES = {"size": 200, "val_size": 40, "test_size": 60}


def output_of(code: str) -> str:
    """Output of the code."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    return out.getvalue()


def operations(code: str) -> int:
    """Number of operators, conditional expressions and assignments; a loop counts by the assignment before it."""
    return sum(isinstance(node, ast.BinOp | ast.IfExp | ast.Assign) for node in ast.walk(ast.parse(code)))


def write(seed: int, length: int, nesting: int) -> Program:
    return write_program(np.random.default_rng(seed), length=length, nesting=nesting)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 8))
def test_result_equals_the_python_output(seed: int, length: int, nesting: int) -> None:
    program = write(seed, length, nesting)
    assert output_of(program.code) == program.result + "\n"


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 8))
def test_programs_have_requested_length_and_nesting(seed: int, length: int, nesting: int) -> None:
    code = write(seed, length, nesting).code
    assert operations(code) == nesting
    numbers = [int(number) for number in re.findall(r"\d+", code)]
    assert all(1 <= number < max(10**length, 4 * length + 1) for number in numbers)
    assert all(int(times) <= 4 * length for times in re.findall(r"range\((\d+)\)", code))


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 8))
def test_no_nested_loops_one_print_and_known_characters(seed: int, length: int, nesting: int) -> None:
    program = write(seed, length, nesting)
    lines = program.code.split("\n")
    assert lines[-1].startswith("print(")
    assert not any("print" in line for line in lines[:-1])
    assert all(re.fullmatch(r"  [a-z][+-]=\d+", after) for line, after in pairwise(lines) if "for" in line)
    assert set(program.code + program.result) <= set(SYMBOLS)


def test_products_have_one_small_factor() -> None:
    codes = [write(seed, 5, 1).code for seed in range(500)]
    factors = [re.fullmatch(r"print\(\((\d+)\*(\d+)\)\)", code) for code in codes]
    found = [sorted(map(int, match.groups())) for match in factors if match]
    assert len(found) > 40
    assert all(small <= 20 for small, _ in found)


def test_operations_are_equally_frequent() -> None:
    codes = [write(seed, 3, 1).code for seed in range(3000)]
    signs = {"+": r"\+\d+\)\)", "-": r"\d-\d+\)\)", "*": r"\*", "if": " if ", "for": "for ", "=": r"^[a-z]=\d+\nprint"}
    for name, sign in signs.items():
        assert abs(sum(bool(re.search(sign, code)) for code in codes) / 3000 - 1 / 6) < 0.03, name


def test_stages_match_the_curriculum() -> None:
    expected = [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)]
    assert Execute(length=3, nesting=2, curriculum="naive").stages == expected
    assert Execute(length=3, nesting=2, curriculum="combined").stages == expected
    assert Execute(length=3, nesting=2, curriculum="mix").stages == [(3, 2)]
    assert Execute(length=3, nesting=2, curriculum="baseline").stages == [(3, 2)]


def difficulties(execute: Execute, split: str, stage: int = 0) -> list[Difficulty]:
    """Maximum number of digits, and operations, of each program."""
    found = []
    for program in execute.programs(split, stage):
        digits = max(len(number) for number in re.findall(r"\d+", program.code))
        found.append(Difficulty(digits, operations(program.code)))
    return found


@pytest.mark.parametrize("curriculum", CURRICULA)
def test_curriculum_determines_the_training_difficulty(curriculum: str) -> None:
    execute = Execute(length=5, nesting=3, curriculum=curriculum, **SIZES)
    drawn = difficulties(execute, "train", stage=0)
    easy = sum(nesting == 1 and length <= 1 for length, nesting in drawn) / len(drawn)
    full = sum(nesting == 3 and length >= 4 for length, nesting in drawn) / len(drawn)
    assert {nesting for _, nesting in drawn} == {"baseline": {3}, "naive": {1}}.get(curriculum, {1, 2, 3})
    low, high = {"baseline": (0, 0), "naive": (1, 1), "mix": (0, 0.2), "combined": (0.4, 0.7)}[curriculum]
    assert low <= easy <= high
    assert (full > 0.9) == (curriculum == "baseline")
    last = difficulties(execute, "train", stage=99)
    assert ({nesting for _, nesting in last} == {3}) == (curriculum in ("baseline", "naive"))


@pytest.mark.parametrize("curriculum", CURRICULA)
def test_validation_and_test_have_full_difficulty(curriculum: str) -> None:
    execute = Execute(length=4, nesting=2, curriculum=curriculum, **SIZES)
    for split in ("val", "test"):
        drawn = difficulties(execute, split)
        assert {nesting for _, nesting in drawn} == {2}
        assert sum(length >= 3 for length, _ in drawn) / len(drawn) > 0.9
        assert list(execute.programs(split)) == list(Execute(length=4, nesting=2, **SIZES).programs(split))


def test_splits_have_no_programs_in_common() -> None:
    execute = Execute(length=2, nesting=1, **{**SIZES, "size": 2000})
    train = {program.code for stage in range(2) for program in execute.programs("train", stage)}
    val, test = ({program.code for program in execute.programs(split)} for split in ("val", "test"))
    assert not train & val
    assert not train & test
    assert not val & test


def test_same_seed_gives_the_same_programs() -> None:
    for split in SPLITS:
        first, same, other = (list(islice(Execute(seed=seed).programs(split), 20)) for seed in (0, 0, 1))
        assert first == same
        assert first != other


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"curriculum": "hard"}, "unknown curriculum 'hard': expected one of baseline, naive, mix, combined"),
        ({"length": 0}, "length=0 is too small"),
        ({"nesting": 0}, "nesting=0 is too small"),
        ({"test_size": 0}, "test_size=0"),
    ],
)
def test_invalid_settings_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Execute(**wrong)  # type: ignore[arg-type]
