"""Word vectors as sums of character n-gram vectors."""

import pytest
import torch

from sluice.layers.char_ngrams import CharNgramEmbedding

NGRAMS, OFFSETS = torch.tensor([1, 2, 2, 5]), torch.tensor([0, 3, 3, 4])
"""Three words: with the n-grams 1, 2 and 2, with none, with 5."""


def test_word_vector_is_the_scaled_sum_of_its_ngrams() -> None:
    char_ngrams = CharNgramEmbedding(buckets=7, size=3)
    rows = char_ngrams.weight.detach()
    expected = torch.stack([(rows[1] + 2 * rows[2]) / 3**0.5, torch.zeros(3), rows[5]])
    torch.testing.assert_close(char_ngrams(NGRAMS, OFFSETS).detach(), expected)


def test_gradients_reach_the_ngrams() -> None:
    char_ngrams = CharNgramEmbedding(buckets=7, size=3)
    char_ngrams(NGRAMS, OFFSETS).sum().backward()
    assert char_ngrams.weight.grad is not None
    expected = torch.zeros(7)
    expected[[1, 2, 5]] = torch.tensor([3**-0.5, 2 * 3**-0.5, 1])
    torch.testing.assert_close(char_ngrams.weight.grad, expected.unsqueeze(1).expand(-1, 3))


def test_whole_words_are_dropped_in_training_only() -> None:
    char_ngrams = CharNgramEmbedding(buckets=50, size=4, word_dropout=0.5)
    ngrams, offsets = torch.arange(50), torch.arange(51)
    torch.manual_seed(3)
    dropped = char_ngrams(ngrams, offsets)
    gone = (dropped == 0).all(1)
    assert 10 < int(gone.sum()) < 40
    torch.testing.assert_close(dropped[~gone], 2 * char_ngrams.weight[~gone])
    torch.testing.assert_close(char_ngrams.eval()(ngrams, offsets), char_ngrams.weight)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"buckets": 0}, "got 0 of size 3"),
        ({"size": 0}, "got 7 of size 0"),
        ({"word_dropout": 1.0}, r"\[0, 1\), got 1\.0"),
    ],
)
def test_invalid_arguments_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CharNgramEmbedding(**{"buckets": 7, "size": 3, **wrong})  # type: ignore[arg-type]
