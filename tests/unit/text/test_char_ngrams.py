"""Words as the letters they are made of."""

from hypothesis import given
from hypothesis import strategies as st

from sluice.text.char_ngrams import character_ngrams, hashed_ngrams

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def test_written_out() -> None:
    assert character_ngrams("aB", 3) == ["a", "b", "<a", "ab", "b>", "<ab", "ab>", "<ab>"]
    assert character_ngrams("a", 3) == ["a", "<a", "a>", "<a>"], "the whole word comes once"
    assert character_ngrams("cat", 1) == ["c", "a", "t", "<cat>"]


@given(words, st.integers(1, 5))
def test_every_piece_lies_in_the_marked_word(word: str, longest: int) -> None:
    marked = f"<{word.lower()}>"
    pieces = character_ngrams(word, longest)
    assert all(piece in marked for piece in pieces)
    assert {len(piece) for piece in pieces} == {*range(1, min(longest, len(marked)) + 1), len(marked)}


@given(words, st.integers(1, 5), st.integers(1, 50))
def test_buckets_are_those_of_the_pieces(word: str, longest: int, buckets: int) -> None:
    hashed = hashed_ngrams(word, longest=longest, buckets=buckets)
    pieces = character_ngrams(word, longest)
    assert len(hashed) == len(pieces)
    assert all(0 <= bucket < buckets for bucket in hashed)
    by_piece = dict(zip(pieces, hashed, strict=True))
    assert [by_piece[piece] for piece in pieces] == hashed, "one piece, one bucket"


def test_buckets_are_the_same_on_every_machine() -> None:
    assert hashed_ngrams("A", longest=1, buckets=2**32)[0] == 0xE8B7BE43, "the CRC-32 of a small a"


def test_words_that_differ_by_a_figure_share_pieces_and_differ_in_some() -> None:
    first, second = (set(hashed_ngrams(word, longest=3, buckets=2**30)) for word in ("TB-57", "TB-58"))
    assert first & second
    assert first - second
    assert second - first
