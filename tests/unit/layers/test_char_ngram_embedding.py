"""Vectors of words made of their letters."""

import pytest
import torch

from sluice.layers.char_ngrams import CharNgramEmbedding

NGRAMS, OFFSETS = torch.tensor([1, 2, 2, 5]), torch.tensor([0, 3, 3, 4])
"""Three words: of the n-grams 1, 2 and 2, of none, of 5."""


def test_a_word_is_the_sum_of_its_pieces_over_the_root_of_their_number() -> None:
    letters = CharNgramEmbedding(buckets=7, size=3)
    rows = letters.weight.detach()
    expected = torch.stack([(rows[1] + 2 * rows[2]) / 3**0.5, torch.zeros(3), rows[5]])
    torch.testing.assert_close(letters(NGRAMS, OFFSETS).detach(), expected)


def test_gradients_go_to_the_pieces() -> None:
    letters = CharNgramEmbedding(buckets=7, size=3)
    letters(NGRAMS, OFFSETS).sum().backward()
    assert letters.weight.grad is not None
    expected = torch.zeros(7)
    expected[[1, 2, 5]] = torch.tensor([3**-0.5, 2 * 3**-0.5, 1])
    torch.testing.assert_close(letters.weight.grad, expected.unsqueeze(1).expand(-1, 3))


def test_whole_words_are_dropped_in_training_only() -> None:
    letters = CharNgramEmbedding(buckets=50, size=4, word_dropout=0.5)
    ngrams, offsets = torch.arange(50), torch.arange(51)
    torch.manual_seed(3)
    dropped = letters(ngrams, offsets)
    gone = (dropped == 0).all(1)
    assert 10 < int(gone.sum()) < 40
    torch.testing.assert_close(dropped[~gone], 2 * letters.weight[~gone])
    torch.testing.assert_close(letters.eval()(ngrams, offsets), letters.weight)


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
