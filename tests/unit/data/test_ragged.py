"""Building ragged arrays and selecting rows."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.data.ragged import Ragged


def ragged(sequences: list[list[int]]) -> Ragged:
    """A ragged array built by a plain loop."""
    flat: list[int] = []
    offsets = [0]
    for sequence in sequences:
        flat.extend(sequence)
        offsets.append(len(flat))
    return Ragged(np.asarray(flat, dtype=np.int32), np.asarray(offsets, dtype=np.int64))


def as_lists(texts: Ragged) -> list[list[int]]:
    return [texts.flat[texts.offsets[i] : texts.offsets[i + 1]].tolist() for i in range(len(texts))]


SEQUENCES = st.lists(st.lists(st.integers(0, 99), max_size=6), min_size=1, max_size=8)


@settings(deadline=None)
@given(data=st.data(), sequences=SEQUENCES)
def test_rows_equal_a_plain_loop(data: st.DataObject, sequences: list[list[int]]) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(sequences) - 1), max_size=10))
    rows = ragged(sequences).rows(np.asarray(chosen, dtype=np.int64))
    assert as_lists(rows) == [sequences[i] for i in chosen]
    assert (rows.flat.dtype, rows.offsets.dtype) == (np.int32, np.int64)


@settings(deadline=None)
@given(sequences=SEQUENCES)
def test_lengths_match_the_sequences(sequences: list[list[int]]) -> None:
    texts = ragged(sequences)
    assert len(texts) == len(sequences)
    assert texts.lengths.tolist() == [len(sequence) for sequence in sequences]


def test_rows_are_copies() -> None:
    texts = ragged([[1, 2], [3]])
    rows = texts.rows(np.asarray([1, 0]))
    rows.flat[:] = 0
    assert as_lists(texts) == [[1, 2], [3]]


@settings(deadline=None)
@given(sequences=SEQUENCES)
def test_constructors_agree(sequences: list[list[int]]) -> None:
    expected = ragged(sequences)
    for built in (
        Ragged.from_rows(sequences),
        Ragged.from_rows(iter(sequences)),
        Ragged.from_lengths(expected.flat, [len(sequence) for sequence in sequences]),
    ):
        assert (built.flat.dtype, built.offsets.dtype) == (np.int32, np.int64)
        assert as_lists(built) == sequences
        assert [built[index].tolist() for index in range(len(built))] == sequences


def test_empty_array_has_no_sequences() -> None:
    assert len(Ragged.from_rows([])) == 0
    assert Ragged.from_rows([]).flat.dtype == np.int32


@settings(deadline=None)
@given(sequences=SEQUENCES, most=st.integers(0, 7), data=st.data())
def test_truncated_and_marked_equal_a_plain_loop(sequences: list[list[int]], most: int, data: st.DataObject) -> None:
    texts = ragged(sequences)
    chosen = data.draw(st.lists(st.booleans(), min_size=len(sequences), max_size=len(sequences)))
    assert as_lists(texts.truncated(most)) == [sequence[:most] for sequence in sequences]
    assert as_lists(texts.preceded_by(7)) == [[7, *sequence] for sequence in sequences]
    assert as_lists(texts.followed_by(7)) == [[*sequence, 7] for sequence in sequences]
    marked = [[*sequence, 7] if mark else sequence for sequence, mark in zip(sequences, chosen, strict=True)]
    assert as_lists(texts.followed_by(7, np.asarray(chosen))) == marked


@settings(deadline=None)
@given(parts=st.lists(SEQUENCES, max_size=3))
def test_concatenated_has_the_rows_of_all_parts(parts: list[list[list[int]]]) -> None:
    together = Ragged.concatenated(map(ragged, parts))
    assert as_lists(together) == [sequence for part in parts for sequence in part]
    assert (together.flat.dtype, together.offsets.dtype) == (np.int32, np.int64)
