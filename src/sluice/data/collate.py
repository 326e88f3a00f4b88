"""Batches and their collate functions, vectorised over the texts."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.data.ragged import ParallelSplit, Ragged, RaggedSequences, Sequences, TextPairSplit
from sluice.data.samplers import ResumableSampler
from sluice.layers.output_loss import IGNORED
from sluice.layers.padding import move_padding
from sluice.text.bpe_dropout import BPEDropout
from sluice.text.truncation import kept_positions
from sluice.text.vocab import PADDING_ID

AnyBatch = TypeVar("AnyBatch", bound="Batch")


class Batch:
    """Base class of batches: a dataclass of tensors, some of which are moved to the model's device.

    Lengths and indices stay on the CPU, so that reading them does not synchronise with a GPU.
    """

    moved: ClassVar[tuple[str, ...]]
    """Names of the fields moved to the device: tensors, named tuples of tensors, or None."""

    def to(self: AnyBatch, device: torch.device | str, **options: Any) -> AnyBatch:
        """Returns the batch with the fields in `moved` on `device`.

        Copies to a CUDA device are `non_blocking`: from pinned memory they overlap with computation.

        Args:
            device: target device.
            options: passed to `Tensor.to`.
        """
        target = torch.device(device)
        if target.type == "cuda":
            options.setdefault("non_blocking", True)
        return self._with(lambda tensor: tensor.to(target, **options))

    def pin_memory(self: AnyBatch) -> AnyBatch:
        """Returns the batch with the fields in `moved` in pinned memory; called by the DataLoader."""
        return self._with(lambda tensor: tensor.pin_memory())

    def _with(self: AnyBatch, change: Callable[[Tensor], Tensor]) -> AnyBatch:
        return replace(self, **{name: _changed(getattr(self, name), change) for name in self.moved})  # type: ignore[type-var]


class PaddedBatch(Batch):
    """A batch of sequences padded to the length of the longest."""

    padded: ClassVar[str]
    """Name of the field with the padded sequences, (B, T) or (B, T, D)."""
    lengths: Tensor
    """(B,) int64, always on the CPU."""

    @property
    def tokens(self) -> int:
        """Number of tokens, excluding padding."""
        return int(self.lengths.sum())

    @property
    def padding_fraction(self) -> float:
        """Fraction of the padded batch that is padding."""
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
    """(B, T) int64, padded with PADDING_ID on the right or left."""
    lengths: Tensor
    """(B,) int64, always on the CPU."""
    labels: Tensor
    """(B,) int64."""
    index: Tensor
    """(B,) int64, index of each text in its split; on the CPU."""

    def __len__(self) -> int:
        return len(self.labels)


def pad(
    texts: Ragged, index: NDArray[np.int64], max_length: int, truncation: str, padding: str = "right"
) -> tuple[Tensor, Tensor]:
    """Truncates and pads texts.

    Args:
        texts: token ids of all texts.
        index: (B,) indices of the texts to pad.
        max_length: maximum number of tokens of a text.
        truncation: "head", "tail" or "head_tail".
        padding: side of the padding, "left" or "right".

    Returns:
        Padded ids (B, T) int64 and lengths (B,) int64.
    """
    starts = texts.offsets[index]
    positions, kept = kept_positions(texts.offsets[index + 1] - starts, max_length, truncation)
    ids = texts.flat[starts[:, None] + positions].astype(np.int64)
    ids[np.arange(positions.shape[1]) >= kept[:, None]] = PADDING_ID
    padded, lengths = torch.from_numpy(ids), torch.from_numpy(kept)
    return (padded if padding == "right" else move_padding(padded, lengths, to=padding)), lengths


class TextCollator:
    """Collate function that turns the indices of a batch into a TextBatch.

    Example:
        >>> texts = Ragged.from_rows([[5, 6, 7], [8]])
        >>> collate = TextCollator(texts, np.array([0, 1]), max_length=2, truncation="head")
        >>> batch = collate([1, 0])
        >>> batch.ids
        tensor([[8, 1],
                [5, 6]])
        >>> batch.lengths, batch.labels
        (tensor([1, 2]), tensor([1, 0]))
    """

    def __init__(
        self, texts: Ragged, labels: NDArray[np.int64], *, max_length: int, truncation: str, padding: str = "right"
    ) -> None:
        """
        Args:
            texts: (N texts) token ids.
            labels: (N,) class ids.
            max_length: maximum number of tokens of a text.
            truncation: "head", "tail" or "head_tail".
            padding: side of the padding, "left" or "right".
        """
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
    """(B,) int64, index of each sequence in its split; on the CPU."""
    first: bool = True
    """True if the sequences begin with this batch, so that no recurrent state is carried over from the previous one."""

    def __len__(self) -> int:
        return len(self.lengths)


class SequenceCollator:
    """Collate function that turns the indices of a batch into a SequenceBatch.

    Example:
        >>> tags = RaggedSequences(Ragged.from_rows([[5, 6], [7]]), Ragged.from_rows([[0, 2], [1]]))
        >>> SequenceCollator(tags)([0, 1]).targets
        tensor([[   0,    2],
                [   1, -100]])
    """

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
    """(B, S) int64, each sentence followed by EOS_ID and padded with PADDING_ID."""
    source_lengths: Tensor
    """(B,) int64, always on the CPU."""
    target: Tensor
    """(B, T + 1) int64, each sentence between BOS_ID and EOS_ID, padded with PADDING_ID."""
    target_lengths: Tensor
    """(B,) int64, always on the CPU: number of tokens to predict, including EOS_ID."""
    index: Tensor
    """(B,) int64, index of each pair in its split; on the CPU."""
    source_texts: list[str] = field(default_factory=list)
    """Source sentences as written; empty in training."""
    target_texts: list[str] = field(default_factory=list)
    """Target sentences as written; empty in training."""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def inputs(self) -> Tensor:
        """(B, T) int64, input of the decoder: the target without its last column."""
        return self.target[:, :-1]

    @property
    def labels(self) -> Tensor:
        """(B, T) int64, tokens to predict: the target without BOS_ID."""
        return self.target[:, 1:]

    @property
    def tokens(self) -> int:
        """Number of target tokens to predict, excluding padding."""
        return int(self.target_lengths.sum())


class Resegmentation:
    """Segments training sentences anew in each epoch; the same in every run with the same batches."""

    def __init__(self, source: BPEDropout | None, target: BPEDropout) -> None:
        """
        Args:
            source: segments the sources; None to leave them as they are.
            target: segments the targets.
        """
        self._dropouts = (source, target)
        self.sampler: ResumableSampler[list[int]] | None = None
        """Sampler of the batches, which has the epoch; None stands for the first one."""

    def __call__(self, split: ParallelSplit, index: NDArray[np.int64]) -> tuple[Ragged, Ragged]:
        """Returns the sources and the targets at these (B,) indices."""
        return self._segmented(0, split.source, index), self._segmented(1, split.target, index)

    def _segmented(self, side: int, texts: Ragged, index: NDArray[np.int64]) -> Ragged:
        dropout, epoch = self._dropouts[side], 0 if self.sampler is None else self.sampler.order_epoch
        if dropout is None:
            return texts.rows(index)
        source = random.Random(b"%d %d " % (epoch, side) + index.tobytes())
        return Ragged.from_rows([dropout.segment(texts[row].tolist(), source) for row in index])


class ParallelCollator:
    """Collate function that turns the indices of a batch into a ParallelBatch.

    Example:
        >>> from sluice.data.ragged import Lines
        >>> source, target = Ragged.from_rows([[7, 3], [8, 9, 3]]), Ragged.from_rows([[2, 5, 3], [2, 6, 3]])
        >>> split = ParallelSplit(source, target, Lines.of(["ja", "oh ja"]), Lines.of(["yes", "yay"]))
        >>> batch = ParallelCollator(split, with_texts=True)([0, 1])
        >>> batch.inputs, batch.labels
        (tensor([[2, 5],
                [2, 6]]), tensor([[5, 3],
                [6, 3]]))
        >>> batch.source_texts
        ['ja', 'oh ja']
    """

    def __init__(self, split: ParallelSplit, *, with_texts: bool, resegment: Resegmentation | None = None) -> None:
        """
        Args:
            split: the pairs.
            with_texts: whether batches include the original sentences.
            resegment: segments the sentences anew in each epoch; None to leave them as they are.
        """
        self.split, self.with_texts, self.resegment = split, with_texts, resegment

    def __call__(self, indices: Sequence[int]) -> ParallelBatch:
        index = np.asarray(indices, dtype=np.int64)
        sides, rows = (self.split.source, self.split.target), index
        if self.resegment is not None:
            sides, rows = self.resegment(self.split, index), np.arange(len(index))
        (source, source_lengths), (target, target_lengths) = (_pad_whole(side, rows) for side in sides)
        texts = {}
        if self.with_texts:
            texts["source_texts"] = [self.split.source_lines[i] for i in indices]
            texts["target_texts"] = [self.split.target_lines[i] for i in indices]
        return ParallelBatch(source, source_lengths, target, target_lengths - 1, torch.from_numpy(index), **texts)


def _pad_whole(texts: Ragged, index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    return pad(texts, index, int((texts.offsets[index + 1] - texts.offsets[index]).max(initial=1)), "head")


@dataclass
class TextPairBatch(PaddedBatch):
    """A padded batch of B pairs: 2 B texts, all first texts followed by all second texts."""

    moved: ClassVar[tuple[str, ...]] = ("ngrams", "offsets", "word_index", "labels", "deciding")
    padded: ClassVar[str] = "word_index"

    ngrams: Tensor
    """(N,) int64, concatenated character n-gram ids of the W distinct words of the batch."""
    offsets: Tensor
    """(W + 1,) int64, offsets of the words in `ngrams`."""
    word_index: Tensor
    """(2 B, T) int64, index of each token's word among the W distinct words (which include the padding)."""
    lengths: Tensor
    """(2 B,) int64, always on the CPU."""
    labels: Tensor
    """(B,) int64."""
    index: Tensor
    """(B,) int64, index of each pair in its split; on the CPU."""
    deciding: Tensor | None = None
    """(2 B, T) bool, True for the words that decide the class; None if unknown."""

    def __len__(self) -> int:
        return len(self.labels)


LabelledBatch: TypeAlias = TextBatch | TextPairBatch
"""Batch of labelled texts or pairs."""


class TextPairCollator:
    """Collate function that turns the indices of a batch into a TextPairBatch.

    Example:
        >>> texts = Ragged.from_rows([[2, 3], [3]])
        >>> split = TextPairSplit(texts, Ragged.from_rows([[0, 1], [1]]), np.array([1]))
        >>> ngrams = Ragged.from_rows([[], [], [11, 12], [13]])  # of each word of the table
        >>> batch = TextPairCollator(split, ngrams, max_length=10, truncation="head")([0])
        >>> batch.word_index
        tensor([[1, 2],
                [2, 0]])
        >>> batch.ngrams, batch.offsets
        (tensor([11, 12, 13]), tensor([0, 0, 2, 3]))
    """

    def __init__(
        self, split: TextPairSplit, ngrams: Ragged, *, max_length: int, truncation: str, with_deciding: bool = False
    ) -> None:
        """
        Args:
            split: the pairs.
            ngrams: character n-gram ids of each word of the table.
            max_length: maximum number of words of a text.
            truncation: "head", "tail" or "head_tail".
            with_deciding: whether batches mark the words that decide the class.
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
