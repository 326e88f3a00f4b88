"""The DataModule of running text in parallel streams and chunks."""

from functools import cached_property
from pathlib import Path

from torch.utils.data import DataLoader

from sluice.data.cache import DEFAULT_CACHE
from sluice.data.corpus import RunningText
from sluice.data.datamodule import ResumableData
from sluice.data.running_text import PreparedText, StreamSettings, prepare_text
from sluice.data.samplers import ChunkSampler
from sluice.data.streams import ChunkBatch, Streams
from sluice.errors import UserError
from sluice.text.tokenizers import END_OF_LINE


class LanguageData(ResumableData):
    """Running text in parallel streams and chunks; prepared once, then memory-mapped from the cache.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from sluice.data.synthetic.reviews import SampleText
        >>> folder = Path(tempfile.mkdtemp())
        >>> data = LanguageData(
        ...     corpus=SampleText(size=50), settings=StreamSettings(), cache_dir=folder, batch_size=4, chunk_length=10
        ... )
        >>> batch = next(iter(data.train_dataloader()))
        >>> batch.inputs.shape, batch.first
        (torch.Size([4, 10]), True)
        >>> torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
        True
    """

    def __init__(
        self,
        *,
        corpus: RunningText,
        settings: StreamSettings | None = None,
        cache_dir: Path = DEFAULT_CACHE,
        batch_size: int = 40,
        chunk_length: int = 50,
        variable_chunks: bool = False,
        val_streams: int = 10,
        test_streams: int = 1,
        seed: int = 0,
    ) -> None:
        """
        Args:
            corpus: the running text.
            settings: tokenisation and vocabulary; None for the defaults of StreamSettings.
            cache_dir: folder for the prepared arrays.
            batch_size: training streams per rank.
            chunk_length: steps per chunk, in training and evaluation.
            variable_chunks: use random lengths for training chunks, see ChunkSampler.
            val_streams: number of validation streams over all ranks.
            test_streams: number of test streams over all ranks.
            seed: seed of the random lengths.
        """
        super().__init__()
        self.corpus, self.settings, self.cache_dir = corpus, settings or StreamSettings(), cache_dir
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
                f"the training text has {len(text):,} tokens, fewer than one chunk of task.data.chunk_length="
                f"{self.chunk_length} steps in {streams} streams: reduce it or task.data.batch_size"
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
