"""The DataModule of word2vec: words and their context words."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from sluice.data.collate import Batch
from sluice.data.corpus import RunningText
from sluice.data.datamodule import ResumableData
from sluice.data.running_text import PreparedText, StreamSettings, prepare_text
from sluice.data.samplers import BatchIndex, EpochSampler, FirstEpochSampler
from sluice.errors import UserError
from sluice.text.tokenizers import END_OF_LINE
from sluice.text.vocab import PADDING_ID, UNKNOWN_ID
from sluice.text.word_windows import BLOCK, Blocks, WordWindows


@dataclass
class WindowBatch(Batch):
    """Blocks of text with the number of their pairs and words."""

    moved: ClassVar[tuple[str, ...]] = ("blocks",)

    blocks: Blocks
    pairs: int
    """Number of pairs of centre and context word."""
    tokens: int
    """Number of centre words with at least one context word."""

    @classmethod
    def of(cls, blocks: Blocks) -> "WindowBatch":
        """Builds a batch from blocks."""
        contexts = blocks.pair_mask.sum(-1)
        return cls(blocks, int(contexts.sum()), int((contexts > 0).sum()))

    def __len__(self) -> int:
        return len(self.blocks.centres)


@dataclass(frozen=True)
class WindowSettings:
    """Settings of context windows."""

    window: int = 5
    """Maximum number of context words on either side."""
    subsampling: float = 1e-3
    """Subsampling threshold t, see WordWindows."""
    across_lines: bool = False
    """Whether windows extend across line ends."""


class WindowBatches(Dataset[WindowBatch]):
    """Batches of a text, indexed by epoch and batch."""

    def __init__(self, windows: WordWindows, *, batch_blocks: int) -> None:
        """
        Args:
            windows: the text.
            batch_blocks: approximate number of blocks per batch.
        """
        self.windows, self.batch_blocks = windows, batch_blocks

    def __len__(self) -> int:
        return self.windows.batches(self.batch_blocks)

    def __getitem__(self, index: BatchIndex) -> WindowBatch:
        return WindowBatch.of(self.windows.batch(index.epoch, index.batch, self.batch_blocks))


class WindowData(ResumableData):
    """Running text as words and their context words; prepared once, then memory-mapped from the cache."""

    def __init__(
        self,
        *,
        corpus: RunningText,
        settings: StreamSettings,
        windows: WindowSettings,
        cache_dir: Path,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        """
        Args:
            corpus: the running text.
            settings: tokenisation and vocabulary.
            windows: context windows.
            cache_dir: folder for the prepared arrays.
            batch_size: blocks per batch, in training and evaluation.
            seed: seed of subsampling, windows and negative samples.
        """
        super().__init__()
        self.corpus, self.settings, self.window_settings = corpus, settings, windows
        self.cache_dir, self.batch_size, self.seed = cache_dir, batch_size, seed
        self._windows: dict[str, WordWindows] = {}

    @cached_property
    def prepared(self) -> PreparedText:
        """The arrays and the vocabulary; prepared on first use."""
        return prepare_text(self.corpus, self.settings, self.cache_dir)

    def windows(self, split: str) -> WordWindows:
        """Returns the windows of a split; word frequencies are those of the training text.

        Raises:
            UserError: if too few words are left after subsampling.
        """
        if split not in self._windows:
            self._windows[split] = self._cut(split)
        return self._windows[split]

    def train_dataloader(self) -> DataLoader[WindowBatch]:
        return self.loader("train", self._start)

    def val_dataloader(self) -> DataLoader[WindowBatch]:
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[WindowBatch]:
        return self.loader("test")

    def loader(self, split: str, start: tuple[int, int] = (0, 0)) -> DataLoader[WindowBatch]:
        """Returns a loader of a split that starts at an epoch and batch; evaluation repeats the same epoch."""
        dataset = WindowBatches(self.windows(split), batch_blocks=self.batch_size)
        sampler = EpochSampler(len(dataset)) if split == "train" else FirstEpochSampler(len(dataset))
        sampler.start_at(*start)
        return DataLoader(dataset, batch_size=None, sampler=sampler, pin_memory=self.pin_memory)

    def _cut(self, split: str) -> WordWindows:
        settings, vocab = self.window_settings, self.prepared.vocab
        flat = self.prepared.splits[split]
        end_id = vocab.encode([END_OF_LINE])[0]
        counts = None if split == "train" else self.windows("train").counts
        try:
            windows = WordWindows(
                flat,
                np.array([0, len(flat)]) if settings.across_lines else line_offsets(flat, end_id),
                vocab_size=len(vocab),
                window=settings.window,
                sample=settings.subsampling,
                excluded=(UNKNOWN_ID, PADDING_ID, end_id),
                counts=counts,
                seed=self.seed,
            )
        except ValueError as error:
            raise UserError(f"no word of the {split} text is in the vocabulary: reduce task.text.min_freq") from error
        if windows.words_per_epoch < BLOCK:
            raise UserError(
                f"too little {split} text: subsampling leaves {windows.words_per_epoch:.0f} of {len(windows.words):,} "
                f"words, at least {BLOCK} are needed; provide more text or set task.subsampling=0"
            )
        return windows


def line_offsets(flat: NDArray[np.int32], end_id: int) -> NDArray[np.int64]:
    """Returns the (lines + 1,) offsets of the lines of a text; each line includes its end token."""
    ends = np.flatnonzero(flat == end_id) + 1
    return np.concatenate([[0], ends, [] if len(ends) and ends[-1] == len(flat) else [len(flat)]]).astype(np.int64)
