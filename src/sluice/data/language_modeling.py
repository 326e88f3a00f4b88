"""A running text in streams and chunks, as truncated back-propagation through time reads it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sluice.data.collate import Batch
from sluice.data.corpus import RunningText
from sluice.data.datamodule import ResumableData
from sluice.data.running_text import PreparedText, StreamSettings, prepare_text
from sluice.data.samplers import Chunk, ChunkSampler
from sluice.errors import UserError
from sluice.layers.output_loss import IGNORED
from sluice.text.tokenizers import END_OF_LINE


@dataclass
class ChunkBatch(Batch):
    """The same steps of every stream."""

    moved: ClassVar[tuple[str, ...]] = ("inputs", "targets")

    inputs: Tensor
    """(B, T) int64, the token before each target."""
    targets: Tensor
    """(B, T) int64, `IGNORED` beyond a stream's end."""
    first: bool
    """Whether the streams begin here: what was carried from another chunk doesn't belong to it."""
    tokens: int
    """Targets that count."""

    def __len__(self) -> int:
        return len(self.inputs)


class Streams(Dataset[ChunkBatch]):
    """A text cut into as many streams of equal length as run side by side; a process holds some of them.

    Every token of the text is predicted once, the first one from the end of a line. The last streams may end early.
    """

    def __init__(
        self,
        text: NDArray[np.int32],
        *,
        streams: int,
        end_id: int,
        rank: int = 0,
        world_size: int = 1,
        contiguous: bool,
    ) -> None:
        """
        Args:
            text: (N,) ids.
            streams: S, of all processes together.
            end_id: id of the end of a line, which stands before the text.
            rank: this process.
            world_size: processes.
            contiguous: neighbouring streams are one process's, an equal number for each; else they are dealt out one
                by one, and a process without any has one in which nothing is to be predicted.
        """
        self.text, self.end_id = text, end_id
        self.length = -(-len(text) // streams)
        own = np.arange(streams)
        if contiguous:
            share = streams // world_size
            own = own[rank * share : (rank + 1) * share]
        else:
            own = own[rank::world_size]
        self.starts = own * self.length if len(own) else np.asarray([len(text)])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, piece: Chunk) -> ChunkBatch:
        places = self.starts[:, None] + np.arange(piece.start, piece.start + piece.steps)
        ends = np.minimum(self.starts + self.length, len(self.text))
        inside = places < ends[:, None]
        targets = np.where(inside, self._at(places), IGNORED)
        before = places - 1
        inputs = np.where(inside & (before >= 0), self._at(before), self.end_id)
        return ChunkBatch(torch.from_numpy(inputs), torch.from_numpy(targets), piece.start == 0, int(inside.sum()))

    def _at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.text[np.clip(places, 0, len(self.text) - 1)].astype(np.int64)


class LanguageData(ResumableData):
    """A running text in streams and chunks; prepared once, then read from disk."""

    def __init__(
        self,
        *,
        corpus: RunningText,
        settings: StreamSettings,
        cache_dir: Path,
        batch_size: int = 40,
        chunk_length: int = 50,
        variable_chunks: bool = False,
        val_streams: int = 10,
        test_streams: int = 1,
        seed: int = 0,
    ) -> None:
        """
        Args:
            corpus: where the text comes from.
            settings: how it becomes ids.
            cache_dir: where the prepared arrays are kept.
            batch_size: streams of one rank in training.
            chunk_length: steps of a chunk, in training and evaluation.
            variable_chunks: training chunks of random lengths, see ChunkSampler.
            val_streams: streams in validation, on all ranks together.
            test_streams: streams in the test, on all ranks together.
            seed: of the variable lengths.
        """
        super().__init__()
        self.corpus, self.settings, self.cache_dir = corpus, settings, cache_dir
        self.batch_size, self.chunk_length, self.variable_chunks = batch_size, chunk_length, variable_chunks
        self.val_streams, self.test_streams, self.seed = val_streams, test_streams, seed

    @cached_property
    def prepared(self) -> PreparedText:
        """The arrays and the vocabulary; prepared on first use."""
        return prepare_text(self.corpus, self.settings, self.cache_dir)

    def train_dataloader(self) -> DataLoader[ChunkBatch]:
        text, streams = self.prepared.splits["train"], self.batch_size * self.rank_and_world_size[1]
        if len(text) < streams * self.chunk_length:
            raise UserError(
                f"the training text has {len(text):,} tokens, fewer than one chunk: task.data.chunk_length="
                f"{self.chunk_length} steps of {streams} streams; lower the one or task.data.batch_size"
            )
        dataset = self._streams("train", streams, contiguous=True)
        sampler = ChunkSampler(
            len(dataset), chunk_length=self.chunk_length, variable=self.variable_chunks, seed=self.seed
        )
        sampler.start_at(*self._start)
        return self._loader(dataset, sampler)

    def val_dataloader(self) -> DataLoader[ChunkBatch]:
        return self._evaluation("val", self.val_streams)

    def test_dataloader(self) -> DataLoader[ChunkBatch]:
        return self._evaluation("test", self.test_streams)

    def _evaluation(self, split: str, streams: int) -> DataLoader[ChunkBatch]:
        dataset = self._streams(split, min(streams, len(self.prepared.splits[split])), contiguous=False)
        return self._loader(dataset, ChunkSampler(len(dataset), chunk_length=self.chunk_length))

    def _streams(self, split: str, streams: int, *, contiguous: bool) -> Streams:
        rank, world_size = self.rank_and_world_size
        return Streams(
            self.prepared.splits[split],
            streams=streams,
            end_id=self.prepared.vocab.encode([END_OF_LINE])[0],
            rank=rank,
            world_size=world_size,
            contiguous=contiguous,
        )

    def _loader(self, dataset: Streams, sampler: ChunkSampler) -> DataLoader[ChunkBatch]:
        return DataLoader(dataset, batch_size=None, sampler=sampler, pin_memory=self.pin_memory)
