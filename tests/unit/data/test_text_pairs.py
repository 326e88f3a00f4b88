"""The DataModule of text pairs, on one and several ranks."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric.utilities.data import _set_sampler_epoch
from torch.utils.data import DataLoader

from sluice.data.collate import TextPairBatch
from sluice.data.corpus import Sources, TextPair
from sluice.data.pair_encoding import CharNgramSettings
from sluice.data.text_pairs import TextPairData
from sluice.errors import UserError
from sluice.text.char_ngrams import hashed_ngrams
from sluice.text.tokenization import Tokenization

SIZES = {"train": 40, "val": 21, "test": 30}
SETTINGS = CharNgramSettings(tokens=Tokenization(tokenizer="whitespace"), max_ngram=2, buckets=500)


class CountingPairs:
    """First texts of 1 to 11 words, second ones of two; the last word of each is unique, and decides."""

    name, labels, sources, description = "file", ("no", "yes"), Sources("1"), "made in a test"
    has_deciding_words = True

    def __init__(self, *splits: str) -> None:
        self.splits, self.reads = splits, 0

    def pairs(self, split: str) -> Iterator[TextPair]:
        self.reads += 1
        for i in range(SIZES[split]):
            yield TextPair("word " * (i % 11) + f"found{i}", f"a other{i}", i % 2, (f"found{i}", f"other{i}"))


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def make_data(cache_dir: Path, *splits: str, **options: Any) -> TextPairData:
    corpus = CountingPairs(*(splits or SIZES))
    options = {"batch_size": 4, "max_length": 8, "truncation": "tail"} | options
    return TextPairData(corpus=corpus, settings=SETTINGS, cache_dir=cache_dir, **options)


def loader_of(data: TextPairData, split: str) -> DataLoader[TextPairBatch]:
    return {"train": data.train_dataloader, "val": data.val_dataloader, "test": data.test_dataloader}[split]()


def read_indices(loader: DataLoader[TextPairBatch]) -> list[int]:
    return torch.cat([batch.index for batch in loader]).tolist()


@pytest.mark.parametrize("split", SIZES)
@pytest.mark.parametrize("num_workers", [0, 1])
def test_loader_yields_every_pair_once(cache_dir: Path, split: str, num_workers: int) -> None:
    assert sorted(read_indices(loader_of(make_data(cache_dir, num_workers=num_workers), split))) == list(
        range(SIZES[split])
    )


@pytest.mark.parametrize("split", SIZES)
def test_batches_hold_the_ngrams_of_the_truncated_texts(cache_dir: Path, split: str) -> None:
    data = make_data(cache_dir)
    for batch in loader_of(data, split):
        assert batch.labels.tolist() == [index % 2 for index in batch.index.tolist()]
        expected = [data.text_of(split, index).split(" | ") for index in batch.index.tolist()]
        for row, text in enumerate([first for first, _ in expected] + [second for _, second in expected]):
            found = [ngrams_of(batch, int(word)) for word in batch.word_index[row, : batch.lengths[row]]]
            assert found == [hashed_ngrams(word, max_n=2, buckets=500) for word in text.split()[-8:]]


def ngrams_of(batch: TextPairBatch, word: int) -> list[int]:
    return batch.ngrams[batch.offsets[word] : batch.offsets[word + 1]].tolist()


def test_deciding_words_are_marked_in_evaluation(cache_dir: Path) -> None:
    data = make_data(cache_dir)
    for batch in data.val_dataloader():
        assert batch.deciding is not None
        steps = torch.arange(batch.word_index.shape[1])
        assert torch.equal(batch.deciding, steps == batch.lengths.unsqueeze(1) - 1)
    assert all(batch.deciding is None for batch in data.train_dataloader())


def test_padding_fraction_counts_both_texts(cache_dir: Path) -> None:
    (batch,) = make_data(cache_dir, batch_size=50).train_dataloader()
    assert batch.tokens == sum(min(i % 11 + 1, 8) + 2 for i in range(40))
    assert batch.padding_fraction == pytest.approx(1 - batch.tokens / (80 * 8))


def test_missing_splits_are_held_out(cache_dir: Path) -> None:
    data = make_data(cache_dir, "train", validation_fraction=0.2, test_fraction=0.25)
    splits = data.prepared.splits
    assert [len(splits[name]) for name in SIZES] == [24, 6, 10]
    pairs = [data.text_of(name, index) for name in SIZES for index in range(len(splits[name]))]
    assert len(set(pairs)) == 40
    assert all(pair.split(" | ")[0].split("found")[1] == pair.split("other")[1] for pair in pairs), "texts stay paired"
    assert splits["test"].labels.tolist().count(1) == 5


def test_text_without_words_is_one_empty_word(tmp_path: Path) -> None:
    corpus = CountingPairs("train", "val", "test")
    corpus.pairs = lambda split: iter([TextPair('"', "a", 0), TextPair("b", "c", 1)])  # type: ignore[method-assign]
    data = TextPairData(
        corpus=corpus, settings=CharNgramSettings(tokens=Tokenization(tokenizer="basic_english")), cache_dir=tmp_path
    )
    assert data.text_of("test", 0) == " | a"
    (batch,) = data.test_dataloader()
    assert batch.lengths.tolist() == [1, 1, 1, 1]


def test_training_order_depends_on_seed_and_epoch(cache_dir: Path) -> None:
    loader = make_data(cache_dir, seed=1).train_dataloader()
    first = read_indices(loader)
    _set_sampler_epoch(loader, 1)
    assert read_indices(loader) != first
    assert read_indices(make_data(cache_dir, seed=1).train_dataloader()) == first
    assert read_indices(make_data(cache_dir, seed=2).train_dataloader()) != first


def test_resumed_epoch_skips_processed_batches(cache_dir: Path) -> None:
    whole, data = make_data(cache_dir, seed=5).train_dataloader(), make_data(cache_dir, seed=5)
    data.load_state_dict({"epoch": 1, "batch": 4})
    loader = data.train_dataloader()
    for epoch, left_out in ((1, 16), (2, 0)):
        for each in (whole, loader):
            _set_sampler_epoch(each, epoch)
        assert read_indices(loader) == read_indices(whole)[left_out:]


@pytest.mark.parametrize("split", SIZES)
def test_pairs_are_split_among_the_ranks(cache_dir: Path, split: str) -> None:
    ranks = []
    for rank in range(3):
        data = make_data(cache_dir)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=3)
        ranks.append([batch.index.tolist() for batch in loader_of(data, split)])
    pairs = list(chain(*chain(*ranks)))
    assert set(pairs) == set(range(SIZES[split]))
    if split == "train":
        assert {len(batches) for batches in ranks} == {4}
    else:
        assert len(pairs) == SIZES[split]


def test_fewer_pairs_than_ranks_are_refused(cache_dir: Path) -> None:
    data = make_data(cache_dir)
    data.trainer = SimpleNamespace(global_rank=0, world_size=22)
    with pytest.raises(UserError, match="the val split has 21 pairs, too few for 22 processes"):
        data.val_dataloader()


def test_corpus_is_read_once(cache_dir: Path) -> None:
    first, again = make_data(cache_dir), make_data(cache_dir)
    assert np.array_equal(first.prepared.splits["test"].texts.flat, again.prepared.splits["test"].texts.flat)
    assert (first.corpus.reads, again.corpus.reads) == (3, 0)
