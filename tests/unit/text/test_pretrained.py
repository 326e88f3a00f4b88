"""Matching the vectors of a file to a vocabulary."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sluice.errors import UserError
from sluice.text.pretrained import match_vectors
from sluice.text.vector_files import write_vectors
from sluice.text.vocab import PADDING_ID, UNKNOWN_ID, Vocab

VOCAB = Vocab.build(Counter({"sea": 4, "café": 3, "boat": 2, "Nile": 1}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Vectors of three words of the vocabulary, of other words, and of words spelled like the specials."""
    words = ["café", "lake", "sea", "<pad>", "<unk>", "Nile", "nile"]
    file = tmp_path / "vectors.txt"
    write_vectors(file, words, np.arange(14, dtype=np.float32).reshape(7, 2))
    return file


def test_vectors_are_matched_by_word(path: Path) -> None:
    matched = match_vectors(path, VOCAB, size=2)
    by_word = dict(zip(VOCAB.tokens, matched.vectors.tolist(), strict=True))
    assert by_word == {
        "<unk>": [8, 9],
        "<pad>": [0, 0],
        "sea": [4, 5],
        "café": [0, 1],
        "boat": [0, 0],
        "Nile": [10, 11],
    }
    assert [VOCAB.tokens[index] for index in np.flatnonzero(matched.found)] == ["<unk>", "sea", "café", "Nile"]


def test_equivalent_words_are_matched(tmp_path: Path) -> None:
    vocab = Vocab.build(Counter({"cafe\u0301": 3, "na\u00efve": 2, "boat": 1}))
    words = ["caf\u00e9", "nai\u0308ve", "na\u00efve", "lake"]
    write_vectors(tmp_path / "a.txt", words, np.arange(8, dtype=np.float32).reshape(4, 2))
    matched = match_vectors(tmp_path / "a.txt", vocab)
    assert matched.num_found == 2
    np.testing.assert_array_equal(matched.vectors[vocab.encode(["cafe\u0301", "na\u00efve"])], [[0, 1], [4, 5]])


def test_coverage_excludes_specials(path: Path) -> None:
    matched = match_vectors(path, VOCAB)
    assert matched.num_found == 3
    assert matched.coverage == 0.75


def test_fill_missing_keeps_the_found(path: Path) -> None:
    matched = match_vectors(path, VOCAB)
    filled = matched.fill_missing(seed=3)
    np.testing.assert_array_equal(filled[matched.found], matched.vectors[matched.found])
    assert (filled[PADDING_ID] == 0).all()
    assert (filled[VOCAB.encode(["boat"])] != 0).all()
    np.testing.assert_array_equal(filled, matched.fill_missing(seed=3))
    assert (filled != matched.fill_missing(seed=4)).any()


def test_missing_vectors_have_the_distribution_of_the_found(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(6000)]
    own = np.random.default_rng(0).normal([3, -1], [0.5, 4], (3000, 2)).astype(np.float32)
    write_vectors(tmp_path / "a.txt", words[:3000], own)
    matched = match_vectors(tmp_path / "a.txt", Vocab.build(Counter(words)))
    missing = ~matched.found
    missing[[PADDING_ID, UNKNOWN_ID]] = False
    drawn = matched.fill_missing(seed=1)[missing]
    np.testing.assert_allclose(drawn.mean(0), [3, -1], atol=0.3)
    np.testing.assert_allclose(drawn.std(0), [0.5, 4], rtol=0.1)


def test_wrong_dimension_is_refused(path: Path) -> None:
    with pytest.raises(UserError, match=r"vectors of dimension 2, but the model expects 300: set embedding\.size=2"):
        match_vectors(path, VOCAB, size=300)


def test_file_of_another_language_is_refused(path: Path) -> None:
    with pytest.raises(UserError, match="none of the 2 words"):
        match_vectors(path, Vocab.build(Counter(["meer", "boot"])))
