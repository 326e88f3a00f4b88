"""The DataModule of a running text."""

from pathlib import Path

from torch.utils.data import DataLoader

from sluice.data.chunks import ChunkBatch, PieceSampler, Streams
from sluice.data.resumable import ResumableData
from sluice.data.running_text import RunningText
from sluice.data.streams import PreparedText, StreamSettings, prepare_text
from sluice.errors import UserError
from sluice.text.tokenizers import END_OF_LINE


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
        evaluation_streams: int = 10,
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
            variable_chunks: training chunks of random lengths, see PieceSampler.
            evaluation_streams: streams in validation, on all ranks together.
            test_streams: streams in the test, on all ranks together.
            seed: of the variable lengths.
        """
        super().__init__()
        self.corpus, self.settings, self.cache_dir = corpus, settings, cache_dir
        self.batch_size, self.chunk_length, self.variable_chunks = batch_size, chunk_length, variable_chunks
        self.evaluation_streams, self.test_streams, self.seed = evaluation_streams, test_streams, seed
        self._prepared: PreparedText | None = None

    @property
    def prepared(self) -> PreparedText:
        """The arrays and the vocabulary; prepared on first use."""
        if self._prepared is None:
            self._prepared = prepare_text(self.corpus, self.settings, self.cache_dir)
        return self._prepared

    def train_dataloader(self) -> DataLoader[ChunkBatch]:
        text, streams = self.prepared.splits["train"], self.batch_size * self.place[1]
        if len(text) < streams * self.chunk_length:
            raise UserError(
                f"the training text has {len(text):,} tokens, fewer than one chunk: task.data.chunk_length="
                f"{self.chunk_length} steps of {streams} streams; lower the one or task.data.batch_size"
            )
        dataset = self._streams("train", streams, contiguous=True)
        sampler = PieceSampler(
            len(dataset), chunk_length=self.chunk_length, variable=self.variable_chunks, seed=self.seed
        )
        sampler.start_at(*self._start)
        return self._loader(dataset, sampler)

    def val_dataloader(self) -> DataLoader[ChunkBatch]:
        return self._evaluation("val", self.evaluation_streams)

    def test_dataloader(self) -> DataLoader[ChunkBatch]:
        return self._evaluation("test", self.test_streams)

    def _evaluation(self, split: str, streams: int) -> DataLoader[ChunkBatch]:
        dataset = self._streams(split, min(streams, len(self.prepared.splits[split])), contiguous=False)
        return self._loader(dataset, PieceSampler(len(dataset), chunk_length=self.chunk_length))

    def _streams(self, split: str, streams: int, *, contiguous: bool) -> Streams:
        rank, world_size = self.place
        return Streams(
            self.prepared.splits[split],
            streams=streams,
            end_id=self.prepared.vocab.encode([END_OF_LINE])[0],
            rank=rank,
            world_size=world_size,
            contiguous=contiguous,
        )

    def _loader(self, dataset: Streams, sampler: PieceSampler) -> DataLoader[ChunkBatch]:
        return DataLoader(dataset, batch_size=None, sampler=sampler, pin_memory=self.pin_memory)
