"""Neighbours and analogies of hand-made vectors."""

import numpy as np
import pytest

from sluice.errors import UserError
from sluice.inference.embeddings import Embeddings, word_embeddings

WORDS = ["king", "queen", "man", "woman", "apple", "Apple"]
VECTORS = np.array([[2, 0, 2], [2, 2, 0], [0, 0, 3], [0, 3, 0], [-5, 0.1, 0], [0, -1, -1]], dtype=np.float32)
SPACE = Embeddings(WORDS, VECTORS)


def test_king_minus_man_plus_woman_is_queen() -> None:
    best = SPACE.analogy("king", "man", "woman", top=2)
    assert best[0].word == "queen"
    target = VECTORS[0] / np.sqrt(8) - VECTORS[2] / 3 + VECTORS[3] / 3
    assert best[0].cosine == pytest.approx(target @ VECTORS[1] / np.linalg.norm(target) / np.sqrt(8), rel=1e-5)
    assert best[0].manhattan == pytest.approx(np.abs(VECTORS[1] / np.sqrt(8) - target).sum(), rel=1e-5)
    assert SPACE.analogy("king", "man", "woman", metric="manhattan")[0].word == "queen"


def test_query_words_are_excluded_from_results() -> None:
    assert {own.word for own in SPACE.analogy("king", "man", "woman", top=10)} == {"queen", "apple", "Apple"}
    assert "king" not in [own.word for own in SPACE.neighbours("king", top=10)]


@pytest.mark.parametrize("metric", ["cosine", "manhattan"])
def test_neighbours_are_sorted_by_metric(metric: str) -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(30, 4)).astype(np.float32) * draw.uniform(0.2, 5, (30, 1)).astype(np.float32)
    space = Embeddings([f"w{number}" for number in range(30)], vectors)
    cosine = vectors @ vectors[7] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[7])
    distance = np.abs(vectors - vectors[7]).sum(1)
    order = [index for index in np.argsort(-cosine if metric == "cosine" else distance) if index != 7][:5]
    found = space.neighbours("w7", top=5, metric=metric)
    assert [own.word for own in found] == [f"w{index}" for index in order]
    np.testing.assert_allclose([own.cosine for own in found], cosine[order], rtol=1e-4)
    np.testing.assert_allclose([own.manhattan for own in found], distance[order], rtol=1e-5)


@pytest.mark.parametrize(
    ("word", "offered"), [("quen", "did you mean queen"), ("KING", "did you mean king"), ("xyz", "choose another word")]
)
def test_unknown_word_is_refused(word: str, offered: str) -> None:
    with pytest.raises(UserError, match=f"there is no word '{word}' among the 6: {offered}"):
        SPACE.neighbours(word)


def test_zero_vector_has_zero_cosine() -> None:
    space = Embeddings(["a", "b", "nothing"], np.array([[1, 0], [1, 1], [0, 0]], dtype=np.float32))
    assert [own.cosine for own in space.neighbours("nothing")] == [0, 0]


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 words need vectors of shape \(2, D\)"):
        Embeddings(["a", "b"], np.ones((3, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="no metric 'taxi'; there are cosine, manhattan"):
        SPACE.neighbours("king", metric="taxi")


def test_special_tokens_have_no_vectors() -> None:
    words = ["<unk>", "<pad>", "<bos>", "<eos>", "sea"]
    space = word_embeddings(words, np.eye(5, dtype=np.float32))
    assert (space.words, len(space), "sea" in space, "<unk>" in space) == (["sea"], 1, True, False)
    assert space.vector("sea").tolist() == [0, 0, 0, 0, 1]
