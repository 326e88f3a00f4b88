"""The DataModule of words and the words near them."""

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
    """Blocks of text with what was counted in them."""

    moved: ClassVar[tuple[str, ...]] = ("blocks",)

    blocks: Blocks
    pairs: int
    """Of words that stand near each other."""
    tokens: int
    """Words that stand near any."""

    @classmethod
    def of(cls, blocks: Blocks) -> "WindowBatch":
        """The blocks, counted."""
        near = blocks.near.sum(-1)
        return cls(blocks, int(near.sum()), int((near > 0).sum()))

    def __len__(self) -> int:
        return len(self.blocks.centres)


@dataclass(frozen=True)
class WindowSettings:
    """How words near each other are drawn from a text."""

    window: int = 5
    """Most words to either side."""
    subsampling: float = 1e-3
    """t, see WordWindows."""
    across_lines: bool = False
    """Windows reach over the ends of lines."""


class WindowBatches(Dataset[WindowBatch]):
    """The batches of a text's epochs."""

    def __init__(self, windows: WordWindows, *, batch_blocks: int) -> None:
        """
        Args:
            windows: the text.
            batch_blocks: blocks of a batch, about.
        """
        self.windows, self.batch_blocks = windows, batch_blocks

    def __len__(self) -> int:
        return self.windows.batches(self.batch_blocks)

    def __getitem__(self, place: BatchIndex) -> WindowBatch:
        return WindowBatch.of(self.windows.batch(place.epoch, place.number, self.batch_blocks))


class WindowData(ResumableData):
    """A running text as words and the words near them; prepared once, then read from disk."""

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
            corpus: where the text comes from.
            settings: how it becomes ids.
            windows: how words near each other are drawn from it.
            cache_dir: where the prepared arrays are kept.
            batch_size: blocks of a batch, in training and evaluation.
            seed: of all that is drawn.
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
        """The windows of a split; frequencies are those of the training text.

        Raises:
            UserError: for a text of which next to nothing is left.
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
        """The batches of a split, from a batch of an epoch on; of validation and test the first epoch, every time."""
        dataset = WindowBatches(self.windows(split), batch_blocks=self.batch_size)
        sampler = EpochSampler(len(dataset)) if split == "train" else FirstEpochSampler(len(dataset))
        sampler.start_at(*start)
        return DataLoader(dataset, batch_size=None, sampler=sampler, pin_memory=self.pin_memory)

    def _cut(self, split: str) -> WordWindows:
        own, vocab = self.window_settings, self.prepared.vocab
        flat = self.prepared.splits[split]
        end_id = vocab.encode([END_OF_LINE])[0]
        counts = None if split == "train" else self.windows("train").counts
        try:
            windows = WordWindows(
                flat,
                np.array([0, len(flat)]) if own.across_lines else line_offsets(flat, end_id),
                vocab_size=len(vocab),
                window=own.window,
                sample=own.subsampling,
                left_out=(UNKNOWN_ID, PADDING_ID, end_id),
                counts=counts,
                seed=self.seed,
            )
        except ValueError as error:
            raise UserError(f"the {split} text has no word of the vocabulary: lower task.text.min_freq") from error
        if windows.words_per_epoch < BLOCK:
            raise UserError(
                f"of the {split} text's {len(windows.words):,} known words subsampling leaves "
                f"{windows.words_per_epoch:.0f}, too few to learn from or to measure by: give more text, or set "
                "task.subsampling=0"
            )
        return windows


def line_offsets(flat: NDArray[np.int32], end_id: int) -> NDArray[np.int64]:
    """(lines + 1,) where the lines of a text begin, each with its end, and the end of all."""
    ends = np.flatnonzero(flat == end_id) + 1
    return np.concatenate([[0], ends, [] if len(ends) and ends[-1] == len(flat) else [len(flat)]]).astype(np.int64)
