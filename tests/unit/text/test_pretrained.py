"""The vectors of a file land at the ids of a vocabulary."""

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
    """Vectors of three of the vocabulary's words, of others, and of what is spelt like the specials."""
    words = ["café", "lake", "sea", "<pad>", "<unk>", "Nile", "nile"]
    file = tmp_path / "vectors.txt"
    write_vectors(file, words, np.arange(14, dtype=np.float32).reshape(7, 2))
    return file


def test_each_word_gets_its_own_vector(path: Path) -> None:
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


def test_the_share_leaves_the_specials_out(path: Path) -> None:
    matched = match_vectors(path, VOCAB)
    assert matched.num_found == 3
    assert matched.coverage == 0.75


def test_completed_fills_the_missing_alone(path: Path) -> None:
    matched = match_vectors(path, VOCAB)
    whole = matched.fill_missing(seed=3)
    np.testing.assert_array_equal(whole[matched.found], matched.vectors[matched.found])
    assert (whole[PADDING_ID] == 0).all()
    assert (whole[VOCAB.encode(["boat"])] != 0).all()
    np.testing.assert_array_equal(whole, matched.fill_missing(seed=3))
    assert (whole != matched.fill_missing(seed=4)).any()


def test_the_missing_are_spread_as_the_found(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(6000)]
    own = np.random.default_rng(0).normal([3, -1], [0.5, 4], (3000, 2)).astype(np.float32)
    write_vectors(tmp_path / "a.txt", words[:3000], own)
    matched = match_vectors(tmp_path / "a.txt", Vocab.build(Counter(words)))
    missing = ~matched.found
    missing[[PADDING_ID, UNKNOWN_ID]] = False
    drawn = matched.fill_missing(seed=1)[missing]
    np.testing.assert_allclose(drawn.mean(0), [3, -1], atol=0.3)
    np.testing.assert_allclose(drawn.std(0), [0.5, 4], rtol=0.1)


def test_another_size_is_told_with_both_numbers(path: Path) -> None:
    with pytest.raises(UserError, match=r"vectors of 2 numbers, the model wants 300: set embedding\.size=2"):
        match_vectors(path, VOCAB, size=300)


def test_a_file_of_another_language(path: Path) -> None:
    with pytest.raises(UserError, match="none of the 2 words"):
        match_vectors(path, Vocab.build(Counter(["meer", "boot"])))
