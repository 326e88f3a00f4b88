"""Many-to-one: a text in, a class out."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sluice.layers.dropout import VariationalDropout
from sluice.layers.embedding import Embedding
from sluice.layers.padding import move_padding
from sluice.layers.pooling import make_pooling, step_mask
from sluice.options import PADDINGS
from sluice.recurrent import OneHot, RecurrentStack
from sluice.recurrent.devices import to_device
from sluice.recurrent.lengths import check_lengths


class ClassifierOutput(NamedTuple):
    """What the classifier returns."""

    logits: Tensor
    """(B, classes)."""
    weights: Tensor | None
    """(B, T), how much each step weighed (attention pooling), zero beyond the length, on the right; else None."""


class TextClassifier(nn.Module):
    """Embedding, recurrent stack, pooling over the steps, linear output.

    With `segment_length` a text is chopped into segments that run side by side from a fresh state and are pooled
    together, as in Johnson & Zhang (2016), arXiv 1602.02373, section 3.1: less far to see, much less to wait.
    """

    def __init__(
        self,
        *,
        embedding: Embedding,
        recurrent: RecurrentStack,
        num_classes: int,
        pooling: str = "max_mean",
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        segment_length: int | None = None,
        padding: str = "right",
    ) -> None:
        """
        Args:
            embedding: ids to the stack's input.
            recurrent: the stack; its input size is the embedding's output size.
            num_classes: classes, two or more.
            pooling: "last", "max", "mean", "max_mean" or "attention".
            input_dropout: variational dropout on the embedded words (features only, not one-hot rows).
            output_dropout: variational dropout on the outputs before pooling and on the final state.
            segment_length: steps of a segment; None runs each text in one piece.
            padding: side of the texts on which the batches that come have it; either gives the same answer.

        Raises:
            ValueError: for an unknown pooling or side, a dropout outside [0, 1), fewer than two classes, segments below
                one step, or segments with pooling "last", which would see the last segment only.
        """
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"a classifier needs two classes or more, got {num_classes}")
        if segment_length is not None and segment_length < 1:
            raise ValueError(f"segment_length must be at least 1, got {segment_length}")
        if segment_length is not None and pooling == "last":
            raise ValueError("pooling 'last' sees only a text's last segment: choose another, or no segment_length")
        if padding not in PADDINGS:
            raise ValueError(f"there is no padding {padding!r}; there are {', '.join(PADDINGS)}")
        self.embedding, self.recurrent, self.padding = embedding, recurrent, padding
        self.input_dropout = VariationalDropout(input_dropout)
        self.output_dropout = VariationalDropout(output_dropout)
        self.pooling = make_pooling(pooling, recurrent.output_size)
        self.output = nn.Linear(self.pooling.output_size, num_classes)
        self.segment_length = segment_length

    @property
    def word_parameters(self) -> tuple[str, ...]:
        """Names of the parameters whose rows are the vocabulary's words."""
        if self.embedding.one_hot:
            return tuple(f"recurrent.cells.{direction}.weight_ih" for direction in range(self.recurrent.directions))
        return tuple(name for name, _ in self.named_parameters() if name == "embedding.table.weight")

    def forward(self, ids: Tensor, lengths: Tensor) -> ClassifierOutput:
        """
        Args:
            ids: (B, T) int64.
            lengths: (B,) int64 on the CPU.

        Returns:
            Logits (B, classes) and, with attention pooling, the weights (B, T).
        """
        return self.classify(self.embed(ids), lengths)

    def embed(self, ids: Tensor) -> Tensor | OneHot:
        """(B, T) ids -> the recurrent stack's input, (B, T, D) features or a OneHot of (B, T)."""
        embedded = self.embedding(ids)
        return embedded if isinstance(embedded, OneHot) else self.input_dropout(embedded)

    def classify(self, features: Tensor | OneHot, lengths: Tensor) -> ClassifierOutput:
        """`forward` from what `embed` gave on."""
        if self.padding == "left":
            features = _right_padded(features, lengths)
        outputs, last = self._run(features, lengths)
        outputs, last = self.output_dropout(outputs), self.output_dropout(last.unsqueeze(1)).squeeze(1)
        pooled = self.pooling(outputs, step_mask(lengths, outputs.shape[1], outputs.device), last)
        return ClassifierOutput(self.output(pooled.vector), pooled.weights)

    def _run(self, features: Tensor | OneHot, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, H·directions) and the final hidden state (B, H·directions)."""
        if self.segment_length is not None:
            outputs = _run_segments(self.recurrent, features, lengths, self.segment_length)
            return outputs, outputs[:, 0]
        outputs, state = self.recurrent(features, lengths)
        top = state.hidden[-self.recurrent.directions :]
        return outputs, torch.cat(top.unbind(0), -1)


def _right_padded(features: Tensor | OneHot, lengths: Tensor) -> Tensor | OneHot:
    if isinstance(features, OneHot):
        return features.map(lambda steps: move_padding(steps, lengths, to="right"))
    return move_padding(features, lengths, to="right")


def _run_segments(stack: RecurrentStack, features: Tensor | OneHot, lengths: Tensor, size: int) -> Tensor:
    """Runs every `size` steps as a sequence of their own; (B, T, ...) -> (B, T, H·directions)."""
    steps = features.ids.shape[1] if isinstance(features, OneHot) else features.shape[1]
    check_lengths(lengths, steps)
    starts = torch.arange(0, steps, size)
    own = (lengths.unsqueeze(1) - starts).clamp(0, size).reshape(-1)
    alive = own.nonzero().squeeze(1)

    def chop(tensor: Tensor) -> Tensor:
        short = len(starts) * size - steps
        padded = (
            torch.cat([tensor, tensor.new_zeros(tensor.shape[0], short, *tensor.shape[2:])], 1) if short else tensor
        )
        return padded.reshape(-1, size, *tensor.shape[2:])[to_device(alive, tensor.device)]

    segments = features.map(chop) if isinstance(features, OneHot) else chop(features)
    outputs = stack(segments, own[alive]).outputs
    rows = to_device(alive, outputs.device)
    whole = outputs.new_zeros(own.numel(), size, outputs.shape[-1]).index_copy(0, rows, outputs)
    return whole.view(len(lengths), -1, outputs.shape[-1])[:, :steps]
