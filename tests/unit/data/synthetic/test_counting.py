"""The counting languages match their definition."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.data.ragged import Ragged
from sluice.data.synthetic.counting import SYMBOLS, Counting, first_failure, next_symbols, string
from sluice.errors import UserError
from sluice.layers.output_loss import IGNORED

LANGUAGES = ["anbn", "anbncn"]
SPLITS = ["train", "val", "test"]
every_language = pytest.mark.parametrize("language", LANGUAGES)


def texts(ragged: Ragged) -> list[str]:
    rows = (ragged.flat[ragged.offsets[row] : ragged.offsets[row + 1]] for row in range(len(ragged)))
    return ["".join("." if index == IGNORED else SYMBOLS[index] for index in row) for row in rows]


def test_next_symbols_match_examples() -> None:
    strings = next_symbols("anbn", [1, 3])
    assert texts(strings.ids) == ["ab", "aaabbb"]
    assert texts(strings.targets) == ["b$", "aabbb$"]
    assert texts(strings.determined) == [".$", "...bb$"]
    strings = next_symbols("anbncn", [2])
    assert texts(strings.ids) == ["aabbcc"]
    assert texts(strings.determined) == ["..bcc$"]


@every_language
@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_symbol_counts_match_and_targets_are_the_next_symbols(language: str, counts: list[int]) -> None:
    strings = next_symbols(language, counts)
    symbols = "ab" if language == "anbn" else "abc"
    for n, text, after, determined in zip(counts, *(texts(part) for part in strings), strict=True):
        assert re.fullmatch("".join(f"{symbol}{{{n}}}" for symbol in symbols), text)
        assert text + "$" == "a" + after
        assert determined == "." * n + after[n:]


@every_language
def test_determined_symbols_are_determined_by_the_prefix(language: str) -> None:
    """All strings with the same prefix continue with the determined symbol, or differ if it is not determined."""
    all_strings = [string(language, n) + "$" for n in range(1, 12)]
    strings = next_symbols(language, range(1, 9))
    for text, determined in zip(texts(strings.ids), texts(strings.determined), strict=True):
        for index, symbol in enumerate(determined):
            following = {other[index + 1] for other in all_strings if other.startswith(text[: index + 1])}
            assert (following == {symbol}) if symbol != "." else (following == {"a", "b"})


@every_language
@pytest.mark.parametrize("seed", [0, 7])
def test_splits_have_no_n_in_common(language: str, seed: int) -> None:
    counting = Counting(language=language, test_max_n=300, size=500, seed=seed)
    train, val, test = (set(counting.counts(split).tolist()) for split in SPLITS)
    longest = 100 if language == "anbn" else 50
    assert train | val == set(range(1, longest + 1))
    assert not train & val
    assert len(val) == longest // 10
    assert {1, longest} <= train
    assert test == set(range(longest + 1, 301))
    assert len(counting.counts("train")) == 500


def test_same_seed_gives_the_same_strings() -> None:
    for split in SPLITS:
        first, same, other = (Counting(seed=seed).strings(split).ids for seed in (1, 1, 2))
        np.testing.assert_array_equal(first.flat, same.flat)
        assert split == "test" or texts(first) != texts(other)


def test_first_failure_is_the_smallest_n() -> None:
    assert first_failure(lambda n: n < 38 or n == 50, 256) == 38
    assert first_failure(lambda n: True, 256) is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"language": "dyck"}, "unknown language 'dyck': expected one of anbn, anbncn"),
        ({"max_n": 2}, "max_n=2 is too small: choose 3"),
        ({"test_max_n": 100}, "test_max_n=100 is too small: choose 101"),
        ({"size": 0}, "size=0"),
    ],
)
def test_invalid_settings_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Counting(**wrong)  # type: ignore[arg-type]
