"""Truncation compared with slices of lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.options import TRUNCATIONS
from sluice.text.truncation import kept_head_length, kept_positions


def sliced(text: list[int], most: int, truncation: str) -> list[int]:
    """A text truncated to at most `most` tokens."""
    if len(text) <= most:
        return text
    if truncation == "head":
        return text[:most]
    if truncation == "tail":
        return text[-most:]
    first = most // 2
    return text[:first] + text[-(most - first) :]


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    most=st.integers(1, 25),
    truncation=st.sampled_from(TRUNCATIONS),
)
def test_positions_equal_slices(lengths: list[int], most: int, truncation: str) -> None:
    expected = [sliced(list(range(length)), most, truncation) for length in lengths]
    positions, kept = kept_positions(np.asarray(lengths, dtype=np.int64), most, truncation)
    assert kept.tolist() == [len(text) for text in expected]
    assert positions.shape == (len(lengths), max(kept))
    for row, count, text in zip(positions, kept, expected, strict=True):
        assert row[:count].tolist() == text
        assert not row[count:].any()


@pytest.mark.parametrize(("truncation", "head"), [("head", 7), ("tail", 0), ("head_tail", 3)])
def test_kept_head_length_matches_the_truncation(truncation: str, head: int) -> None:
    assert kept_head_length(truncation, 7) == head


def test_unknown_truncation_is_refused() -> None:
    with pytest.raises(ValueError, match="'middle': expected one of head, tail, head_tail"):
        kept_positions(np.asarray([3]), 2, "middle")
