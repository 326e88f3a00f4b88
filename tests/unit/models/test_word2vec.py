"""Word2Vec: windows against their definition, gradients against autograd over single pairs, learned vectors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.data.word2vec import WindowBatch
from sluice.models.word2vec import Word2Vec
from sluice.optim.row_adagrad import RowAdagrad
from sluice.options import WORD2VEC_METHODS
from sluice.text.word_windows import BLOCK, NEGATIVES_SHARED, Blocks, WordWindows, keep_probabilities

TEXTS = st.lists(st.integers(0, 90), min_size=1, max_size=4).filter(sum)


def windows_of(lengths: list[int], **options: object) -> WordWindows:
    """Texts in which every word is unique, so that word ids are positions."""
    flat = np.arange(sum(lengths), dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return WordWindows(flat, offsets, vocab_size=len(flat), **{"sample": 0, **options})  # type: ignore[arg-type]


def pairs(blocks: Blocks) -> list[tuple[int, int]]:
    """(centre, context) of every pair of a batch."""
    block, centre, context = blocks.pair_mask.nonzero(as_tuple=True)
    return list(zip(blocks.centres[block, centre].tolist(), blocks.contexts[block, context].tolist(), strict=True))


def of_epoch(windows: WordWindows, epoch: int = 0, batch_blocks: int = 2) -> list[tuple[int, int]]:
    return [pair for blocks in windows.epoch(epoch, batch_blocks) for pair in pairs(blocks)]


@settings(deadline=None, max_examples=40)
@given(TEXTS, st.integers(1, 6), st.integers(0, 99), st.integers(1, 4))
def test_windows_have_the_drawn_width_and_stay_in_their_text(
    lengths: list[int], window: int, seed: int, batch_blocks: int
) -> None:
    text_of = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    found: dict[int, set[int]] = {}
    drawn = of_epoch(windows_of(lengths, window=window, seed=seed), 0, batch_blocks)
    for centre, context in drawn:
        found.setdefault(centre, set()).add(context)
    assert len(drawn) == sum(map(len, found.values()))
    for centre in range(sum(lengths)):
        first, last = starts[text_of[centre]], starts[text_of[centre] + 1] - 1
        ways = [set(range(max(centre - width, first), min(centre + width, last) + 1)) for width in range(1, window + 1)]
        assert found.get(centre, set()) in [way - {centre} for way in ways]


def test_window_widths_are_uniform() -> None:
    windows = windows_of([4000], window=4, seed=1)
    reach: dict[int, int] = {}
    for centre, context in of_epoch(windows):
        reach[centre] = max(reach.get(centre, 0), abs(context - centre))
    counts = np.bincount(list(reach.values()), minlength=5)[1:]
    np.testing.assert_allclose(counts / 4000, 0.25, atol=0.03)


def test_order_of_blocks_depends_on_epoch_and_seed() -> None:
    first, same = (of_epoch(windows_of([500], window=2, seed=3), epoch=1) for _ in range(2))
    assert first == same
    assert first != of_epoch(windows_of([500], window=2, seed=3), epoch=2)
    assert first != of_epoch(windows_of([500], window=2, seed=4), epoch=1)


def test_subsampling_drops_frequent_words() -> None:
    counts = np.array([8000, 1900, 100, 0])
    t, frequencies = 0.01, counts / 10_000
    expected = [min(1, np.sqrt(t / f) + t / f) if f else 1 for f in frequencies]
    probabilities = keep_probabilities(counts, t)
    np.testing.assert_allclose(probabilities, expected)
    assert (keep_probabilities(counts, 0) == 1).all()
    flat = np.repeat([0, 1, 2], counts[:3]).astype(np.int32)
    windows = WordWindows(flat, np.array([0, len(flat)]), vocab_size=4, window=1, sample=t)
    centres = np.array([centre for centre, _ in of_epoch(windows)])
    np.testing.assert_allclose(
        [(centres == word).sum() / 2 for word in range(3)], probabilities[:3] * counts[:3], rtol=0.1
    )


def test_words_around_a_dropped_word_become_neighbours() -> None:
    flat = np.array([5, 0, 6, 1, 0, 7], dtype=np.int32)
    windows = WordWindows(flat, np.array([0, 3, 6]), vocab_size=8, window=1, sample=0, excluded=(0, 1))
    assert sorted(of_epoch(windows)) == [(5, 6), (6, 5)]


def test_negatives_are_drawn_by_frequency_to_the_power_of_0_75() -> None:
    counts = np.array([0, 20_000, 5000, 1000])
    flat = np.random.default_rng(0).permutation(np.repeat(np.arange(4), counts)).astype(np.int32)
    windows = WordWindows(flat, np.array([0, len(flat)]), vocab_size=4, sample=0)
    drawn = torch.cat([blocks.negatives.flatten() for blocks in windows.epoch(0, 16)])
    expected = counts**0.75 / (counts**0.75).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / len(drawn), expected, atol=0.01)


def some_blocks(vocab_size: int = 30, blocks: int = 3) -> Blocks:
    flat = np.random.default_rng(2).integers(0, vocab_size, 2 * BLOCK + 9).astype(np.int32)
    windows = WordWindows(flat, np.array([0, 50, 51, len(flat)]), vocab_size=vocab_size, window=3, sample=0, seed=2)
    (whole,) = windows.epoch(0, blocks)
    return whole


def loss_pair_by_pair(model: Word2Vec, blocks: Blocks, first: Tensor, second: Tensor) -> Tensor:
    """The definition: every pair separately, with the mean over the negative words of the block."""
    total = torch.zeros(())
    for block in range(len(blocks.centres)):
        negatives = second[blocks.negatives[block]]
        for index, centre in enumerate(blocks.centres[block]):
            contexts = blocks.contexts[block][blocks.pair_mask[block, index] == 1]
            if model.method == "cbow" and len(contexts):
                examples = [(first[contexts].mean(0), second[centre])]
            else:
                examples = [(first[centre], second[context]) for context in contexts]
            for own, other in examples:
                total = total - F.logsigmoid(own @ other)
                total = total - model.negatives * F.logsigmoid(-(negatives @ own)).mean()
    return total


@pytest.mark.parametrize("method", WORD2VEC_METHODS)
def test_loss_and_gradients_equal_those_of_single_pairs(method: str) -> None:
    model, blocks = Word2Vec(vocab_size=30, size=4, method=method, negatives=5), some_blocks()
    draw = torch.Generator().manual_seed(1)
    for table in model.parameters():
        nn.init.normal_(table, generator=draw)
    first, second = (table.detach().clone().requires_grad_() for table in model.parameters())
    expected = loss_pair_by_pair(model, blocks, first, second)
    expected.backward()
    found = model.gradients(blocks)
    torch.testing.assert_close(found.loss, expected.detach(), rtol=1e-4, atol=1e-4)
    for ids, rows, parameter in (
        (found.input_ids, found.input_rows, first),
        (found.output_ids, found.output_rows, second),
    ):
        summed = torch.zeros_like(parameter).index_add_(0, ids, rows)
        torch.testing.assert_close(summed, parameter.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", WORD2VEC_METHODS)
def test_backward_sets_sparse_gradients(method: str) -> None:
    model, blocks = Word2Vec(vocab_size=30, size=4, method=method), some_blocks()
    nn.init.normal_(model.output, generator=torch.Generator().manual_seed(1))
    found = model.gradients(blocks)
    for _ in range(2):  # the second call replaces the gradients
        assert torch.equal(model.backward(blocks), found.loss)
    for table, ids, rows in ((model.input, *found[:2]), (model.output, *found[2:4])):
        assert table.grad is not None
        assert table.grad.is_sparse
        torch.testing.assert_close(table.grad.to_dense(), torch.zeros(30, 4).index_add_(0, ids, rows))


def test_frequencies_of_another_text_can_be_given() -> None:
    flat = np.repeat([0, 1], [50, 50]).astype(np.int32)
    other = np.array([9_900, 100])
    windows = WordWindows(flat, np.array([0, 100]), vocab_size=2, sample=1e-3, counts=other)
    assert windows.words_per_epoch == pytest.approx(50 * keep_probabilities(other, 1e-3).sum())
    drawn = torch.cat([blocks.negatives.flatten() for epoch in range(40) for blocks in windows.epoch(epoch, 1)])
    assert drawn.float().mean() == pytest.approx(100**0.75 / (100**0.75 + 9_900**0.75), abs=0.02)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 900), st.integers(1, 4), st.sampled_from([0, 1e-3]))
def test_number_of_batches_is_fixed_and_batches_can_be_indexed(length: int, batch_blocks: int, sample: float) -> None:
    windows = windows_of([length], sample=sample, seed=1)
    for epoch in range(3):
        whole = list(windows.epoch(epoch, batch_blocks))
        assert len(whole) == windows.batches(batch_blocks)
        last = windows_of([length], sample=sample, seed=1).batch(epoch, len(whole) - 1, batch_blocks)
        assert all(torch.equal(one, other) for one, other in zip(last, whole[-1], strict=True))


@pytest.mark.parametrize("method", WORD2VEC_METHODS)
def test_words_in_similar_contexts_get_similar_vectors(method: str) -> None:
    """Words 0 to 4 occur among 10 to 14, words 5 to 9 among 15 to 19."""
    draw = np.random.default_rng(0)
    texts = [
        np.stack([draw.integers(0, 5, 6), draw.integers(10, 15, 6)], 1).ravel() + 5 * (row % 2) for row in range(300)
    ]
    flat = np.concatenate(texts).astype(np.int32)
    windows = WordWindows(flat, np.arange(0, len(flat) + 1, 12), vocab_size=20, window=1, sample=0)
    model = Word2Vec(vocab_size=20, size=8, method=method)
    optimizer = RowAdagrad(model.parameters(), lr=0.1)
    for epoch in range(15):
        for blocks in windows.epoch(epoch, 4):
            model.backward(blocks)
            optimizer.step()
    vectors = model.vectors.detach()[:10]
    similarity = F.cosine_similarity(vectors.unsqueeze(1), vectors.unsqueeze(0), dim=-1)
    same = torch.arange(10).unsqueeze(1) // 5 == torch.arange(10) // 5
    assert similarity[same].min() > similarity[~same].max() + 0.3


def test_batch_counts_pairs_and_tokens() -> None:
    blocks = some_blocks()
    batch = WindowBatch.of(blocks)
    assert batch.pairs == blocks.pairs, "skip-gram"
    assert batch.tokens == blocks.pair_mask.sum(-1).count_nonzero().item(), "CBOW"


def test_batch_has_documented_shapes() -> None:
    blocks = some_blocks()
    assert blocks.centres.shape == (3, BLOCK)
    assert blocks.contexts.shape == (3, BLOCK + 6)
    assert blocks.pair_mask.shape == (3, BLOCK, BLOCK + 6)
    assert blocks.negatives.shape == (3, NEGATIVES_SHARED)
    assert blocks.pairs == len(pairs(blocks))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "glove"}, "unknown method 'glove': expected one of skipgram, cbow"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"negatives": 0}, "negatives must be at least 1, got 0"),
    ],
)
def test_invalid_arguments_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Word2Vec(vocab_size=5, **wrong)  # type: ignore[arg-type]


def test_invalid_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="window must be at least 1, got 0"):
        windows_of([5], window=0)
    with pytest.raises(ValueError, match=r"sample must be 0 or more, got -0\.1"):
        windows_of([5], sample=-0.1)
    with pytest.raises(ValueError, match="contain no words"):
        windows_of([2], excluded=(0, 1))
