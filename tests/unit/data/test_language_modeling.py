"""The DataModule of running text: streams of each rank, chunk lengths, resuming."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sluice.data.corpus import Line, Sources
from sluice.data.language_modeling import LanguageData
from sluice.data.running_text import StreamSettings
from sluice.data.streams import ChunkBatch
from sluice.errors import UserError
from sluice.layers.output_loss import IGNORED

LINES = {"train": 41, "val": 9, "test": 5}
"""Numbers of lines; each has three words, so four tokens."""


@dataclass(frozen=True)
class CountingText:
    """Lines of consecutive numbers, so that all words of a split are distinct."""

    sources: Sources = Sources("counting")
    name: str = "file"
    description: str = "numbers"

    def lines(self) -> Iterator[Line]:
        for split, number in LINES.items():
            for line in range(number):
                yield Line(split, " ".join(f"{3 * line + word}" for word in range(3)))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def make(cache: Path, *, rank: int = 0, ranks: int = 1, **options: object) -> LanguageData:
    given: Any = {"batch_size": 4, "chunk_length": 6, **options}
    data = LanguageData(corpus=CountingText(), settings=StreamSettings(), cache_dir=cache, **given)
    if ranks > 1:
        data.trainer = SimpleNamespace(global_rank=rank, world_size=ranks)  # type: ignore[assignment]
    return data


def loader_of(data: LanguageData, stage: str) -> Any:
    return getattr(data, f"{stage}_dataloader")()


def read(data: LanguageData, stage: str) -> tuple[Tensor, Tensor]:
    """Inputs and targets (B, length) of this rank's streams."""
    batches: list[ChunkBatch] = list(loader_of(data, stage))
    return torch.cat([batch.inputs for batch in batches], 1), torch.cat([batch.targets for batch in batches], 1)


def counted(targets: Tensor) -> list[int]:
    return targets[targets != IGNORED].tolist()


@pytest.mark.parametrize("ranks", [1, 2, 3, 12])
@pytest.mark.parametrize("streams", [1, 2, 5, 100])
@pytest.mark.parametrize("stage", ["val", "test"])
def test_every_token_is_evaluated_once_on_all_ranks(cache: Path, stage: str, streams: int, ranks: int) -> None:
    parts = [make(cache, rank=rank, ranks=ranks, val_streams=streams, test_streams=streams) for rank in range(ranks)]
    seen = [token for part in parts for token in counted(read(part, stage)[1])]
    assert sorted(seen) == sorted(parts[0].prepared.splits[stage].tolist())
    assert len({len(loader_of(part, stage)) for part in parts}) == 1, "all ranks take the same number of steps"


@pytest.mark.parametrize("stage", ["val", "test"])
@pytest.mark.parametrize("streams", [1, 2, 5])
def test_evaluation_streams_do_not_depend_on_the_ranks(cache: Path, stage: str, streams: int) -> None:
    options = {"val_streams": streams, "test_streams": streams}
    alone = read(make(cache, **options), stage)
    assert len(alone[0]) == streams
    for rank in range(3):
        part = read(make(cache, rank=rank, ranks=3, **options), stage)
        if rank < streams:
            assert all(torch.equal(ours, theirs[rank::3]) for ours, theirs in zip(part, alone, strict=True))
        else:
            assert counted(part[1]) == []


def test_test_split_is_one_stream(cache: Path) -> None:
    data = make(cache)
    inputs, targets = read(data, "test")
    text = torch.from_numpy(data.prepared.splits["test"].astype("int64"))
    assert torch.equal(targets, text[None])
    assert torch.equal(inputs[0, 1:], text[:-1])
    assert data.prepared.vocab.decode([int(inputs[0, 0])]) == ["<eos>"]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_training_streams_of_a_rank_are_contiguous(cache: Path, ranks: int) -> None:
    parts = [make(cache, rank=rank, ranks=ranks) for rank in range(ranks)]
    texts = [counted(read(part, "train")[1]) for part in parts]
    assert [token for text in texts for token in text] == parts[0].prepared.splits["train"].tolist()
    assert {len(read(part, "train")[0]) for part in parts} == {4}
    assert len({len(loader_of(part, "train")) for part in parts}) == 1


def test_variable_chunks_are_equal_on_all_ranks(cache: Path) -> None:
    parts = [make(cache, rank=rank, ranks=2, variable_chunks=True, seed=3) for rank in range(2)]
    lengths = [[batch.inputs.shape[1] for batch in part.train_dataloader()] for part in parts]
    assert lengths[0] == lengths[1]
    assert len(set(lengths[0])) > 1
    texts = [counted(read(part, "train")[1]) for part in parts]
    assert [token for text in texts for token in text] == parts[0].prepared.splits["train"].tolist()


@pytest.mark.parametrize("stage", ["val", "test"])
def test_evaluation_chunks_have_a_fixed_length(cache: Path, stage: str) -> None:
    data = make(cache, variable_chunks=True, val_streams=2)
    lengths = [batch.inputs.shape[1] for batch in loader_of(data, stage)]
    assert set(lengths[:-1]) == {6}


@pytest.mark.parametrize("ranks", [1, 2])
def test_text_shorter_than_one_chunk_is_refused(cache: Path, ranks: int) -> None:
    tokens = 4 * LINES["train"]
    fits = make(cache, ranks=ranks, chunk_length=tokens // (4 * ranks))
    assert next(iter(fits.train_dataloader())).tokens > 0
    message = (
        rf"the training text has {tokens} tokens, fewer than one chunk of task.data.chunk_length="
        rf"{tokens // (4 * ranks) + 1} steps in {4 * ranks} streams: reduce it or task.data.batch_size"
    )
    with pytest.raises(UserError, match=message):
        make(cache, ranks=ranks, chunk_length=tokens // (4 * ranks) + 1).train_dataloader()


def test_resumed_epoch_skips_processed_chunks(cache: Path) -> None:
    data = make(cache)
    batches = list(data.train_dataloader())
    data.load_state_dict({"epoch": 1, "batch": 2})
    loader: Any = data.train_dataloader()
    rest = list(loader)
    assert len(rest) == len(batches) - 2
    assert torch.equal(rest[0].targets, batches[2].targets)
    assert not rest[0].first
    loader.sampler.set_epoch(2)
    assert len(list(loader)) == len(batches)


def test_text_is_prepared_once(tmp_path: Path) -> None:
    data = make(tmp_path)
    data.prepare_data()
    (entry,) = tmp_path.iterdir()
    assert entry.name.startswith("stream-file-")
    assert len(data.prepared.splits["train"]) == 4 * LINES["train"]
    assert list(tmp_path.iterdir()) == [entry]
