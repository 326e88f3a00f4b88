"""Word vectors from character n-grams."""

import pytest
import torch

from sluice.layers.char_ngrams import CharNgramEmbedding

NGRAMS, OFFSETS = torch.tensor([1, 2, 2, 5]), torch.tensor([0, 3, 3, 4])
"""Three words, with the n-grams 1, 2 and 2, with none, and with 5."""


def test_a_vector_is_the_scaled_sum_of_its_ngrams() -> None:
    embedding = CharNgramEmbedding(buckets=7, size=3)
    rows = embedding.weight.detach()
    expected = torch.stack([(rows[1] + 2 * rows[2]) / 3**0.5, torch.zeros(3), rows[5]])
    torch.testing.assert_close(embedding(NGRAMS, OFFSETS).detach(), expected)


def test_gradients_reach_the_ngrams() -> None:
    embedding = CharNgramEmbedding(buckets=7, size=3)
    embedding(NGRAMS, OFFSETS).sum().backward()
    assert embedding.weight.grad is not None
    expected = torch.zeros(7)
    expected[[1, 2, 5]] = torch.tensor([3**-0.5, 2 * 3**-0.5, 1])
    torch.testing.assert_close(embedding.weight.grad, expected.unsqueeze(1).expand(-1, 3))


def test_whole_words_are_dropped_in_training_only() -> None:
    embedding = CharNgramEmbedding(buckets=50, size=4, word_dropout=0.5)
    ngrams, offsets = torch.arange(50), torch.arange(51)
    torch.manual_seed(3)
    dropped = embedding(ngrams, offsets)
    gone = (dropped == 0).all(1)
    assert 10 < int(gone.sum()) < 40
    torch.testing.assert_close(dropped[~gone], 2 * embedding.weight[~gone])
    torch.testing.assert_close(embedding.eval()(ngrams, offsets), embedding.weight)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"buckets": 0}, "got 0 of size 3"),
        ({"size": 0}, "got 7 of size 0"),
        ({"word_dropout": 1.0}, r"\[0, 1\), got 1\.0"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CharNgramEmbedding(**{"buckets": 7, "size": 3, **wrong})  # type: ignore[arg-type]
