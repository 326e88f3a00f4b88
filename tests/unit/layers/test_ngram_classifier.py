"""The linear classifier of n-grams equals naive Bayes, written as loops over the texts."""

import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from sluice.layers.ngram_classifier import OFFSET, SCALE, NgramClassifier

WORDS, CLASSES = 7, 3
BUCKETS = 50_000  # large enough that the few n-grams do not collide


def make(max_n: int, buckets: int = BUCKETS) -> NgramClassifier:
    return NgramClassifier(vocab_size=WORDS, num_classes=CLASSES, max_n=max_n, buckets=buckets)


def random_texts(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids (B, T), mask (B, T) and labels (B,), with each class; padding is random."""
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(WORDS, (count, 9), generator=draw)
    lengths = torch.randint(1, 10, (count, 1), generator=draw)
    return ids, torch.arange(9) < lengths, torch.arange(count) % CLASSES


def ngrams_of(ids: Tensor, mask: Tensor, max_n: int) -> set[tuple[int, ...]]:
    words = ids[mask].tolist()
    lengths = range(1, max_n + 1)
    return {tuple(words[start : start + n]) for n in lengths for start in range(len(words) - n + 1)}


def naive_bayes(max_n: int, ids: Tensor, mask: Tensor, labels: Tensor) -> list[list[float]]:
    """The initial logits of the texts from which the ratios are computed; every row of the table has a count of one."""
    rows = WORDS + (BUCKETS if max_n > 1 else 0)
    texts = [ngrams_of(*text, max_n) for text in zip(ids, mask, strict=True)]
    counts = [Counter[tuple[int, ...]]() for _ in range(CLASSES)]
    for text, label in zip(texts, labels.tolist(), strict=True):
        counts[label].update(text)

    def ratio(ngram: tuple[int, ...], label: int) -> float:
        others = [count for index, count in enumerate(counts) if index != label]
        own_total = counts[label].total() + rows
        others_total = sum(count.total() for count in others) + rows
        other = sum(count[ngram] for count in others) + 1
        return math.log((counts[label][ngram] + 1) / own_total) - math.log(other / others_total)

    return [[SCALE * OFFSET * sum(ratio(ngram, label) for ngram in text) for label in range(CLASSES)] for text in texts]


@pytest.mark.parametrize("max_n", [1, 2, 3])
def test_initial_logits_are_those_of_naive_bayes(max_n: int) -> None:
    ids, mask, labels = random_texts(12)
    linear = make(max_n)
    linear.fit_ratios([(ids[:5], mask[:5], labels[:5]), (ids[5:], mask[5:], labels[5:])])
    expected = torch.tensor(naive_bayes(max_n, ids, mask, labels))
    torch.testing.assert_close(linear(ids, mask), expected, rtol=1e-5, atol=1e-5)


def test_repeated_ngrams_count_once_and_their_order_matters() -> None:
    ids, mask, labels = random_texts(12)
    linear = make(2)
    linear.fit_ratios([(ids, mask, labels)])
    with torch.no_grad():
        linear.weight.normal_()
    texts = torch.tensor([[4, 2, 4, 2, 4], [4, 2, 4, 0, 0], [2, 2, 4, 4, 4]])
    kept = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 5])
    repeated, once, other = linear(texts, kept)
    torch.testing.assert_close(repeated, once)
    assert (other - once).abs().max() > 1e-3


def test_only_rows_of_the_text_get_gradients() -> None:
    linear = make(2)
    linear.ratios.fill_(1.0)
    ids, mask = torch.tensor([[3, 5, 6]]), torch.tensor([[True, True, False]])
    linear(ids, mask).sum().backward()
    assert linear.weight.grad is not None
    changed = linear.weight.grad.any(1).nonzero().squeeze(1)
    assert changed[:2].tolist() == [3, 5]
    assert len(changed) == 3


def test_hashing_spreads_the_pairs_of_frequent_words() -> None:
    linear = NgramClassifier(vocab_size=30_000, num_classes=2, max_n=2, buckets=2**20)
    words = torch.arange(300)
    pairs = torch.cartesian_prod(words, words)
    rows, _ = linear.distinct_rows(pairs, torch.ones_like(pairs, dtype=torch.bool))
    assert len(rows[:, -1].unique()) > 0.9 * len(pairs)


@pytest.mark.parametrize(("max_n", "buckets"), [(0, 9), (2, 0)])
def test_sizes_below_one_are_refused(max_n: int, buckets: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make(max_n, buckets)
