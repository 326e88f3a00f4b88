"""Batches and the collate functions that make them, without a loop over texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.data.ragged import ParallelSplit, Ragged, RaggedSequences, Sequences, TextPairSplit
from sluice.layers.output_loss import IGNORED
from sluice.layers.padding import move_padding
from sluice.text.truncation import kept_positions
from sluice.text.vocab import PADDING_ID

AnyBatch = TypeVar("AnyBatch", bound="Batch")


class Batch:
    """A dataclass of tensors, some of which a model needs on its own device.

    Lengths and positions stay on the CPU, where they are read without waiting for a GPU.
    """

    moved: ClassVar[tuple[str, ...]]
    """Names of the fields that move: tensors, named tuples of tensors, or None."""

    def to(self: AnyBatch, device: torch.device | str, **options: Any) -> AnyBatch:
        """The batch with the fields in `moved` on `device`.

        The copy to a CUDA device is queued (`non_blocking`): from page-locked memory it overlaps with computation.

        Args:
            device: target.
            options: of `Tensor.to`.
        """
        target = torch.device(device)
        if target.type == "cuda":
            options.setdefault("non_blocking", True)
        return self._with(lambda tensor: tensor.to(target, **options))

    def pin_memory(self: AnyBatch) -> AnyBatch:
        """The batch with the fields in `moved` in page-locked memory; called by a DataLoader with `pin_memory`."""
        return self._with(lambda tensor: tensor.pin_memory())

    def _with(self: AnyBatch, change: Callable[[Tensor], Tensor]) -> AnyBatch:
        return replace(self, **{name: _changed(getattr(self, name), change) for name in self.moved})  # type: ignore[type-var]


class PaddedBatch(Batch):
    """A batch of sequences that are padded to the longest."""

    padded: ClassVar[str]
    """Name of the field with the padded sequences, (B, T) or (B, T, D)."""
    lengths: Tensor
    """(B,) int64, always on the CPU."""

    @property
    def tokens(self) -> int:
        """Tokens without the padding."""
        return int(self.lengths.sum())

    @property
    def padding_fraction(self) -> float:
        """Share of padding in the batch."""
        return 1 - self.tokens / getattr(self, self.padded).shape[:2].numel()


def _changed(part: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if part is None:
        return None
    return change(part) if isinstance(part, Tensor) else type(part)(*(change(tensor) for tensor in part))


@dataclass
class TextBatch(PaddedBatch):
    """A padded batch of labelled texts."""

    moved: ClassVar[tuple[str, ...]] = ("ids", "labels")
    padded: ClassVar[str] = "ids"

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


def pad(
    texts: Ragged, index: NDArray[np.int64], max_length: int, truncation: str, padding: str = "right"
) -> tuple[Tensor, Tensor]:
    """Padded ids (B, T) int64 and lengths (B,) int64 of the chosen texts, the padding on the "left" or "right"."""
    starts = texts.offsets[index]
    places, kept = kept_positions(texts.offsets[index + 1] - starts, max_length, truncation)
    ids = texts.flat[starts[:, None] + places].astype(np.int64)
    ids[np.arange(places.shape[1]) >= kept[:, None]] = PADDING_ID
    padded, lengths = torch.from_numpy(ids), torch.from_numpy(kept)
    return (padded if padding == "right" else move_padding(padded, lengths, to=padding)), lengths


class TextCollator:
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


@dataclass
class SequenceBatch(PaddedBatch):
    """A padded batch of sequences."""

    moved: ClassVar[tuple[str, ...]] = ("inputs", "targets")
    padded: ClassVar[str] = "inputs"

    inputs: Tensor
    """(B, T) int64 ids, PADDING_ID beyond each length, or (B, T, D) features."""
    targets: Tensor
    """(B,), (B, T) or (B, T, K): int64 classes, IGNORED beyond each length, or float values."""
    lengths: Tensor
    """(B,) int64, always on the CPU."""
    index: Tensor
    """(B,) int64, each sequence's place in its split; on the CPU."""
    first: bool = True
    """Whether the sequences begin here: what was carried from another batch doesn't belong to it."""

    def __len__(self) -> int:
        return len(self.lengths)


class SequenceCollator:
    """Turns the indices of a batch into a SequenceBatch: a DataLoader's collate function."""

    def __init__(self, split: Sequences | RaggedSequences) -> None:
        self.split = split

    def __call__(self, indices: Sequence[int]) -> SequenceBatch:
        index = np.asarray(indices, dtype=np.int64)
        if isinstance(self.split, Sequences):
            inputs, targets = (torch.from_numpy(part[index]) for part in self.split)
            return SequenceBatch(inputs, targets, torch.from_numpy(self.split.lengths[index]), torch.from_numpy(index))
        longest = int(self.split.lengths[index].max())
        inputs, lengths = pad(self.split.inputs, index, longest, "head")
        targets, _ = pad(self.split.targets, index, longest, "head")
        targets[torch.arange(longest) >= lengths.unsqueeze(1)] = IGNORED
        return SequenceBatch(inputs, targets, lengths, torch.from_numpy(index))


@dataclass
class ParallelBatch(Batch):
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


class ParallelCollator:
    """Turns the indices of a batch into a ParallelBatch: a DataLoader's collate function."""

    def __init__(self, split: ParallelSplit, *, with_texts: bool) -> None:
        """
        Args:
            split: where the pairs are.
            with_texts: whether the batches hold the sentences as they were written.
        """
        self.split, self.with_texts = split, with_texts

    def __call__(self, indices: Sequence[int]) -> ParallelBatch:
        index = np.asarray(indices, dtype=np.int64)
        source, source_lengths = _whole(self.split.source, index)
        target, target_lengths = _whole(self.split.target, index)
        texts = {}
        if self.with_texts:
            texts["source_texts"] = [self.split.source_lines[place] for place in indices]
            texts["target_texts"] = [self.split.target_lines[place] for place in indices]
        return ParallelBatch(source, source_lengths, target, target_lengths - 1, torch.from_numpy(index), **texts)


def _whole(texts: Ragged, index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    return pad(texts, index, int((texts.offsets[index + 1] - texts.offsets[index]).max(initial=1)), "head")


@dataclass
class TextPairBatch(PaddedBatch):
    """A padded batch of B pairs: 2 B texts, the first ones before the second ones."""

    moved: ClassVar[tuple[str, ...]] = ("ngrams", "offsets", "word_index", "labels", "deciding")
    padded: ClassVar[str] = "word_index"

    ngrams: Tensor
    """(N,) int64, n-grams of the W different words of the batch, word after word."""
    offsets: Tensor
    """(W + 1,) int64, where each word's begin."""
    word_index: Tensor
    """(2 B, T) int64, which of the words stands where; that of the padding beyond each length."""
    lengths: Tensor
    """(2 B,) int64, always on the CPU."""
    labels: Tensor
    """(B,) int64."""
    index: Tensor
    """(B,) int64, each pair's place in its split; on the CPU."""
    deciding: Tensor | None = None
    """(2 B, T) bool, True on deciding words; None where the corpus doesn't know them."""

    def __len__(self) -> int:
        return len(self.labels)


LabelledBatch: TypeAlias = TextBatch | TextPairBatch
"""Texts or pairs with a class each."""


class TextPairCollator:
    """Turns the indices of a batch into a TextPairBatch: a DataLoader's collate function."""

    def __init__(
        self, split: TextPairSplit, ngrams: Ragged, *, max_length: int, truncation: str, with_deciding: bool = False
    ) -> None:
        """
        Args:
            split: where the pairs are.
            ngrams: n-grams of each word of the table.
            max_length: most words kept of a text.
            truncation: "head", "tail" or "head_tail".
            with_deciding: whether the batches say which words decide.
        """
        self.split, self.ngrams = split, ngrams
        self.max_length, self.truncation, self.with_deciding = max_length, truncation, with_deciding

    def __call__(self, indices: Sequence[int]) -> TextPairBatch:
        index = np.asarray(indices, dtype=np.int64)
        rows = self.split.rows(index)
        ids, lengths = pad(self.split.texts, rows, self.max_length, self.truncation)
        words, word_index = np.unique(ids.numpy(), return_inverse=True)
        ngrams = self.ngrams.rows(words)
        deciding = None
        if self.with_deciding:
            marks, _ = pad(self.split.deciding, rows, self.max_length, self.truncation)
            deciding = (marks == 1) & (torch.arange(ids.shape[1]) < lengths.unsqueeze(1))
        return TextPairBatch(
            ngrams=torch.from_numpy(ngrams.flat.astype(np.int64)),
            offsets=torch.from_numpy(ngrams.offsets),
            word_index=torch.from_numpy(word_index.reshape(ids.shape)),
            lengths=lengths,
            labels=torch.from_numpy(self.split.labels[index]),
            index=torch.from_numpy(index),
            deciding=deciding,
        )
