"""What a step of translation gets: two padded batches of ids that belong together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sluice.data.batch import Batch
from sluice.data.batches import pad
from sluice.data.lines import Lines
from sluice.data.ragged import Ragged


@dataclass
class PairBatch(Batch):
    """A padded batch of sentence pairs."""

    moved: ClassVar[tuple[str, ...]] = ("source", "target")

    source: Tensor
    """(B, S) int64, each sentence with its end; PADDING_ID beyond each length."""
    source_lengths: Tensor
    """(B,) int64, always on the CPU."""
    target: Tensor
    """(B, T + 1) int64, each sentence with its begin and its end; PADDING_ID beyond each length."""
    target_lengths: Tensor
    """(B,) int64, always on the CPU: tokens to predict, the end among them."""
    index: Tensor
    """(B,) int64, each pair's place in its split; on the CPU."""
    source_texts: list[str] = field(default_factory=list)
    """The sentences as they were written; empty in training."""
    target_texts: list[str] = field(default_factory=list)
    """Their translations as they were written; empty in training."""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def inputs(self) -> Tensor:
        """(B, T) int64, what a decoder is fed: the sentence from its begin on."""
        return self.target[:, :-1]

    @property
    def labels(self) -> Tensor:
        """(B, T) int64, what it is to predict: the sentence and its end."""
        return self.target[:, 1:]

    @property
    def tokens(self) -> int:
        """Target tokens to predict, without the padding."""
        return int(self.target_lengths.sum())


@dataclass(frozen=True)
class PairSplit:
    """The pairs of one split."""

    source: Ragged
    """Ids, each sentence with its end."""
    target: Ragged
    """Ids, each sentence with its begin and its end."""
    source_lines: Lines
    target_lines: Lines

    def __len__(self) -> int:
        return len(self.source)

    def sort_keys(self) -> tuple[Any, int]:
        """(N,) numbers that sort pairs by the target's length, then by the source's, and what a target token weighs."""
        scale = int(self.source.lengths.max(initial=0)) + 1
        return (self.target.lengths - 1) * scale + self.source.lengths, scale


class PairBatchMaker:
    """Turns the indices of a batch into a PairBatch: a DataLoader's collate function."""

    def __init__(self, split: PairSplit, *, with_texts: bool) -> None:
        """
        Args:
            split: where the pairs are.
            with_texts: whether the batches hold the sentences as they were written.
        """
        self.split, self.with_texts = split, with_texts

    def __call__(self, indices: Sequence[int]) -> PairBatch:
        index = np.asarray(indices, dtype=np.int64)
        source, source_lengths = _whole(self.split.source, index)
        target, target_lengths = _whole(self.split.target, index)
        texts = {}
        if self.with_texts:
            texts["source_texts"] = [self.split.source_lines[place] for place in indices]
            texts["target_texts"] = [self.split.target_lines[place] for place in indices]
        return PairBatch(source, source_lengths, target, target_lengths - 1, torch.from_numpy(index), **texts)


def _whole(texts: Ragged, index: Any) -> tuple[Tensor, Tensor]:
    return pad(texts, index, int((texts.offsets[index + 1] - texts.offsets[index]).max(initial=1)), "head")
