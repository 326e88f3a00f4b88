"""Character n-grams of words."""

from hypothesis import given
from hypothesis import strategies as st

from sluice.text.char_ngrams import character_ngrams, hashed_ngrams

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def test_ngrams_match_examples() -> None:
    assert character_ngrams("aB", 3) == ["a", "b", "<a", "ab", "b>", "<ab", "ab>", "<ab>"]
    assert character_ngrams("a", 3) == ["a", "<a", "a>", "<a>"], "the whole word is listed once"
    assert character_ngrams("cat", 1) == ["c", "a", "t", "<cat>"]


@given(words, st.integers(1, 5))
def test_ngrams_are_substrings_of_the_marked_word(word: str, max_n: int) -> None:
    marked = f"<{word.lower()}>"
    ngrams = character_ngrams(word, max_n)
    assert all(ngram in marked for ngram in ngrams)
    assert {len(ngram) for ngram in ngrams} == {*range(1, min(max_n, len(marked)) + 1), len(marked)}


@given(words, st.integers(1, 5), st.integers(1, 50))
def test_equal_ngrams_have_equal_buckets(word: str, max_n: int, buckets: int) -> None:
    hashed = hashed_ngrams(word, max_n=max_n, buckets=buckets)
    ngrams = character_ngrams(word, max_n)
    assert len(hashed) == len(ngrams)
    assert all(0 <= bucket < buckets for bucket in hashed)
    by_ngram = dict(zip(ngrams, hashed, strict=True))
    assert [by_ngram[ngram] for ngram in ngrams] == hashed, "equal n-grams have equal buckets"


def test_buckets_are_the_same_on_every_machine() -> None:
    assert hashed_ngrams("A", max_n=1, buckets=2**32)[0] == 0xE8B7BE43, "the CRC-32 of a lower-case a"


def test_similar_words_have_common_and_distinct_ngrams() -> None:
    first, second = (set(hashed_ngrams(word, max_n=3, buckets=2**30)) for word in ("TB-57", "TB-58"))
    assert first & second
    assert first - second
    assert second - first
