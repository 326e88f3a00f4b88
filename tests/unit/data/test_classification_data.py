"""The DataModule of labelled texts: its loaders on one and several ranks and with a Trainer."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.data import _set_sampler_epoch
from torch.utils.data import DataLoader

from sluice.data import samplers
from sluice.data.classification import ClassificationData, TextSettings
from sluice.data.collate import TextBatch
from sluice.data.corpus import Document, Sources
from sluice.errors import UserError

SIZES = {"train": 40, "val": 21, "test": 30}


class CountingCorpus:
    """Texts of 1 to 11 words; the last word of each is unique."""

    name, labels, sources, description = "sample", ("neg", "pos"), Sources("1"), "made in a test"

    def __init__(self) -> None:
        self.reads = 0

    def documents(self) -> Iterator[Document]:
        self.reads += 1
        for split, size in SIZES.items():
            for i in range(size):
                yield Document(split, "word " * (i % 11) + f"unique{i}", i % 2)


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def make_data(cache_dir: Path, **options: object) -> ClassificationData:
    options = {"batch_size": 4, "max_length": 8, "truncation": "tail"} | options
    return ClassificationData(corpus=CountingCorpus(), settings=TextSettings(), cache_dir=cache_dir, **options)


def loader_of(data: ClassificationData, split: str) -> DataLoader[TextBatch]:
    return {"train": data.train_dataloader, "val": data.val_dataloader, "test": data.test_dataloader}[split]()


def read_indices(loader: DataLoader[TextBatch]) -> list[int]:
    return torch.cat([batch.index for batch in loader]).tolist()


@pytest.mark.parametrize("split", SIZES)
@pytest.mark.parametrize("num_workers", [0, 1])
def test_loader_yields_every_text_once(cache_dir: Path, split: str, num_workers: int) -> None:
    assert sorted(read_indices(loader_of(make_data(cache_dir, num_workers=num_workers), split))) == list(
        range(SIZES[split])
    )


@pytest.mark.parametrize("split", SIZES)
def test_batches_hold_the_truncated_texts_and_their_labels(cache_dir: Path, split: str) -> None:
    data = make_data(cache_dir)
    for batch in loader_of(data, split):
        assert batch.labels.tolist() == [index % 2 for index in batch.index.tolist()]
        for ids, length, index in zip(batch.ids, batch.lengths, batch.index.tolist(), strict=True):
            assert data.prepared.vocab.decode(ids[:length]) == data.text_of(split, index).split()[-8:]


def test_text_of_returns_the_encoded_tokens(cache_dir: Path) -> None:
    data = make_data(cache_dir)
    assert data.text_of("train", 3) == "word word word unique3"
    assert data.text_of("train", 0) == "unique0"
    assert make_frequent(cache_dir).text_of("test", 2) == "word word <unk>"


def make_frequent(cache_dir: Path) -> ClassificationData:
    """Data with a vocabulary of frequent words only."""
    settings = TextSettings(min_freq=4)
    return ClassificationData(corpus=CountingCorpus(), settings=settings, cache_dir=cache_dir)


def test_evaluation_batches_are_four_times_larger(cache_dir: Path) -> None:
    data = make_data(cache_dir)
    assert [len(batch) for batch in data.train_dataloader()] == [4] * 10
    assert [len(batch) for batch in data.val_dataloader()] == [16, 5]
    assert [len(batch) for batch in data.test_dataloader()] == [16, 14]


@pytest.mark.parametrize(("most", "largest"), [(40, 40), (3, 4 * 8)])
def test_evaluation_batches_have_limited_tokens(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch, most: int, largest: int
) -> None:
    """A training batch has four texts of at most 8 tokens; evaluation batches may have as many."""
    monkeypatch.setattr(samplers, "EVALUATION_TOKENS", most)
    batches = list(make_data(cache_dir).val_dataloader())
    assert max(batch.ids.numel() for batch in batches) == largest
    assert sorted(chain.from_iterable(batch.index.tolist() for batch in batches)) == list(range(21))


def test_max_tokens_limits_evaluation_batches_like_training(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "EVALUATION_TOKENS", 3)
    data = make_data(cache_dir, max_tokens=16, batch_size=16)
    assert max(batch.ids.numel() for batch in data.val_dataloader()) == 16


def test_max_tokens_limits_training_batches_only(cache_dir: Path) -> None:
    data = make_data(cache_dir, max_tokens=16, batch_size=16)
    assert max(batch.ids.numel() for batch in data.train_dataloader()) <= 16
    assert max(batch.ids.numel() for batch in data.val_dataloader()) > 16


def test_max_tokens_counts_truncated_texts(cache_dir: Path) -> None:
    assert len(make_data(cache_dir, max_tokens=8).train_dataloader()) > 0
    with pytest.raises(ValueError, match=r"max_tokens=7 is less than the longest text \(8 tokens\)"):
        make_data(cache_dir, max_tokens=7).train_dataloader()


def test_training_order_depends_on_seed_and_epoch(cache_dir: Path) -> None:
    loader = make_data(cache_dir, seed=1).train_dataloader()
    first = read_indices(loader)
    _set_sampler_epoch(loader, 1)
    second = read_indices(loader)
    assert first != second
    assert sorted(first) == sorted(second)
    assert read_indices(make_data(cache_dir, seed=1).train_dataloader()) == first
    assert read_indices(make_data(cache_dir, seed=2).train_dataloader()) != first


def test_evaluation_order_is_fixed(cache_dir: Path) -> None:
    loader = make_data(cache_dir, seed=1).val_dataloader()
    first = read_indices(loader)
    _set_sampler_epoch(loader, 1)
    assert read_indices(loader) == first == read_indices(make_data(cache_dir, seed=2).val_dataloader())


@pytest.mark.parametrize("split", SIZES)
def test_texts_are_split_among_the_ranks(cache_dir: Path, split: str) -> None:
    ranks = []
    for rank in range(3):
        data = make_data(cache_dir)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=3)
        ranks.append([batch.index.tolist() for batch in loader_of(data, split)])
    texts = list(chain(*chain(*ranks)))
    assert set(texts) == set(range(SIZES[split]))
    if split == "train":
        assert {len(batches) for batches in ranks} == {4}
    else:
        assert len(texts) == SIZES[split]


def on_rank(rank: int, world_size: int, cache_dir: Path, **options: object) -> ClassificationData:
    data = make_data(cache_dir, **options)
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)
    return data


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_on_several_ranks_has_every_text_once(
    cache_dir: Path, split: str, batch_size: int, world_size: int
) -> None:
    ranks = [
        read_indices(loader_of(on_rank(rank, world_size, cache_dir, batch_size=batch_size), split))
        for rank in range(world_size)
    ]
    assert all(ranks)
    assert sorted(chain(*ranks)) == list(range(SIZES[split]))


def test_fewer_texts_than_ranks_are_refused(cache_dir: Path) -> None:
    assert len(on_rank(20, 21, cache_dir).val_dataloader()) == 1
    with pytest.raises(UserError, match="the val split has 21 texts, too few for 22 processes"):
        on_rank(0, 22, cache_dir).val_dataloader()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_resumed_epoch_skips_processed_batches(cache_dir: Path, num_workers: int) -> None:
    whole = make_data(cache_dir, seed=5).train_dataloader()
    data = make_data(cache_dir, seed=5, num_workers=num_workers)
    data.load_state_dict({"epoch": 1, "batch": 4})
    loader = data.train_dataloader()
    for epoch, left_out in ((1, 16), (2, 0)):
        for each in (whole, loader):
            _set_sampler_epoch(each, epoch)
        assert read_indices(loader) == read_indices(whole)[left_out:]
        assert len(loader) == len(whole) == 10, "Lightning would end the epoch early"


class Recorder(pl.LightningModule):
    """Records the indices of the texts of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.epochs: dict[str, list[list[int]]] = {"train": [], "val": []}

    def record(self, stage: str, batch: TextBatch, first: bool) -> None:
        if first:
            self.epochs[stage].append([])
        self.epochs[stage][-1].extend(batch.index.tolist())

    def training_step(self, batch: TextBatch, batch_idx: int) -> torch.Tensor:
        self.record("train", batch, batch_idx == 0)
        return self.weight * batch.ids.sum()

    def validation_step(self, batch: TextBatch, batch_idx: int) -> None:
        self.record("val", batch, batch_idx == 0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_trainer_runs_the_batches_of_every_epoch(cache_dir: Path) -> None:
    data, recorder = make_data(cache_dir, seed=5), Recorder()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=3, num_sanity_val_steps=0, use_distributed_sampler=False, **quiet
    )
    trainer.fit(recorder, datamodule=data)
    loader = make_data(cache_dir, seed=5).train_dataloader()
    for epoch, shown in enumerate(recorder.epochs["train"]):
        _set_sampler_epoch(loader, epoch)
        assert shown == read_indices(loader)
    assert len({tuple(shown) for shown in recorder.epochs["train"]}) == 3
    assert recorder.epochs["val"] == [read_indices(data.val_dataloader())] * 3


def test_corpus_is_read_once(cache_dir: Path) -> None:
    data = make_data(cache_dir)
    data.prepare_data()
    for split in SIZES:
        list(loader_of(data, split))
    assert data.corpus.reads == 1
    again = make_data(cache_dir)
    assert np.array_equal(again.prepared.splits["train"].labels, data.prepared.splits["train"].labels)
    assert again.corpus.reads == 0


def test_unwritable_cache_is_reported(cache_dir: Path) -> None:
    cache_dir.write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        make_data(cache_dir).prepare_data()
