"""What a training step gets: padded ids, lengths, labels; made without a loop over texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.data.batch import Batch
from sluice.data.ragged import Ragged
from sluice.layers.padding import move_padding
from sluice.text.truncation import kept_places
from sluice.text.vocab import PADDING_ID


@dataclass
class TextBatch(Batch):
    """A padded batch of labelled texts."""

    moved: ClassVar[tuple[str, ...]] = ("ids", "labels")

    ids: Tensor
    """(B, T) int64, PADDING_ID beyond each length, or before the text where the padding is on the left."""
    lengths: Tensor
    """(B,) int64, always on the CPU."""
    labels: Tensor
    """(B,) int64."""
    index: Tensor
    """(B,) int64, each text's place in its split; on the CPU."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def tokens(self) -> int:
        """Tokens without the padding."""
        return int(self.lengths.sum())

    @property
    def padding_share(self) -> float:
        """Share of padding in the batch."""
        return 1 - self.tokens / self.ids.numel()


def pad(
    texts: Ragged, index: NDArray[np.int64], max_length: int, truncation: str, padding: str = "right"
) -> tuple[Tensor, Tensor]:
    """Padded ids (B, T) int64 and lengths (B,) int64 of the chosen texts, the padding on the "left" or "right"."""
    starts = texts.offsets[index]
    places, kept = kept_places(texts.offsets[index + 1] - starts, max_length, truncation)
    ids = texts.flat[starts[:, None] + places].astype(np.int64)
    ids[np.arange(places.shape[1]) >= kept[:, None]] = PADDING_ID
    padded, lengths = torch.from_numpy(ids), torch.from_numpy(kept)
    return (padded if padding == "right" else move_padding(padded, lengths, to=padding)), lengths


class BatchMaker:
    """Turns the indices of a batch into a TextBatch: a DataLoader's collate function."""

    def __init__(
        self, texts: Ragged, labels: NDArray[np.int64], *, max_length: int, truncation: str, padding: str = "right"
    ) -> None:
        self.texts, self.labels = texts, labels
        self.max_length, self.truncation, self.padding = max_length, truncation, padding

    def __call__(self, indices: Sequence[int]) -> TextBatch:
        index = np.asarray(indices, dtype=np.int64)
        ids, lengths = pad(self.texts, index, self.max_length, self.truncation, self.padding)
        return TextBatch(ids, lengths, torch.from_numpy(self.labels[index]), torch.from_numpy(index))
