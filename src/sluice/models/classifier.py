"""Text classification."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sluice.layers.dropout import VariationalDropout
from sluice.layers.embedding import Embedding
from sluice.layers.ngram_classifier import NgramClassifier
from sluice.layers.padding import move_padding
from sluice.layers.pooling import make_pooling, step_mask
from sluice.options import PADDINGS
from sluice.recurrent import OneHot, RecurrentStack
from sluice.recurrent.devices import to_device
from sluice.recurrent.lengths import check_lengths
from sluice.recurrent.states import top_hidden


class ClassifierOutput(NamedTuple):
    """Output of TextClassifier."""

    logits: Tensor
    """(B, classes)."""
    weights: Tensor | None
    """(B, T), weights of attention pooling, right-padded with zeros; None for any other pooling."""


class TextClassifier(nn.Module):
    """Embedding, recurrent stack, pooling over the steps, output layer; optionally a linear classifier of n-grams.

    With `segment_length` a text is split into segments that are processed in parallel, each from the initial state, and
    pooled together, as in Johnson & Zhang (2016), arXiv 1602.02373, section 3.1, which trades context for speed.

    Example:
        >>> from sluice.layers.embedding import make_embedding
        >>> from sluice.recurrent import RecurrentStack
        >>> embedding = make_embedding("learned", vocab_size=100, size=8, padding_id=1, word_dropout=0.0)
        >>> recurrent = RecurrentStack(cell="lstm", input_size=8, hidden_size=16, bidirectional=True)
        >>> model = TextClassifier(embedding=embedding, recurrent=recurrent, num_classes=2)
        >>> ids, lengths = torch.randint(2, 100, (4, 12)), torch.tensor([12, 9, 5, 1])
        >>> model(ids, lengths).logits.shape
        torch.Size([4, 2])
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
        ngrams: NgramClassifier | None = None,
    ) -> None:
        """
        Args:
            embedding: maps ids to the input of the stack.
            recurrent: recurrent stack; its input size is the output size of the embedding.
            num_classes: number of classes, at least 2.
            pooling: one of `sluice.options.POOLINGS`.
            input_dropout: variational dropout on the embedded words (features only, not one-hot rows).
            output_dropout: variational dropout on the outputs before pooling and on the final state.
            segment_length: steps of a segment; None for no segments.
            padding: side on which the input batches are padded, "left" or "right"; the result is the same.
            ngrams: linear classifier of the n-grams of a text, whose logits are added.

        Raises:
            ValueError: for an unknown pooling or padding side, a dropout outside [0, 1), fewer than 2 classes, a
                segment length below 1, segments with a pooling of the last state, which is that of one segment, or
                n-grams of another vocabulary size than that of the embedding.
        """
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {num_classes}")
        _check_segments(segment_length, pooling)
        if padding not in PADDINGS:
            raise ValueError(f"unknown padding {padding!r}: expected one of {', '.join(PADDINGS)}")
        if ngrams is not None and ngrams.vocab_size != embedding.vocab_size:
            sizes = f"{ngrams.vocab_size} words in the n-grams and {embedding.vocab_size} in the embedding"
            raise ValueError(f"the vocabularies differ, {sizes}: use equal sizes")
        self.embedding, self.recurrent, self.padding = embedding, recurrent, padding
        self.input_dropout = VariationalDropout(input_dropout)
        self.output_dropout = VariationalDropout(output_dropout)
        self.pooling = make_pooling(pooling, recurrent.output_size)
        self.output = nn.Linear(self.pooling.output_size, num_classes)
        self.segment_length, self.ngrams = segment_length, ngrams

    @property
    def word_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that have one row per vocabulary word."""
        if self.embedding.one_hot:
            return tuple(f"recurrent.cells.{direction}.weight_ih" for direction in range(self.recurrent.directions))
        return tuple(name for name, _ in self.named_parameters() if name == "embedding.table.weight")

    def forward(self, ids: Tensor, lengths: Tensor) -> ClassifierOutput:
        """Classifies texts.

        Args:
            ids: (B, T) int64.
            lengths: (B,) int64 on the CPU.

        Returns:
            Logits (B, classes) and, with attention pooling, weights (B, T).
        """
        return self.add_ngrams(self.classify(self.embed(ids), lengths), ids, lengths)

    def add_ngrams(self, output: ClassifierOutput, ids: Tensor, lengths: Tensor) -> ClassifierOutput:
        """Adds the logits of the classifier of n-grams, if there is one, to those of the recurrent part."""
        logits = self.ngram_logits(ids, lengths)
        return output if logits is None else output._replace(logits=output.logits + logits)

    def ngram_logits(self, ids: Tensor, lengths: Tensor) -> Tensor | None:
        """Returns the logits (B, classes) of the classifier of n-grams; None without one. Arguments as of `forward`."""
        if self.ngrams is None:
            return None
        ids = move_padding(ids, lengths, to="right") if self.padding == "left" else ids
        return self.ngrams(ids, step_mask(lengths, ids.shape[1], ids.device))

    def embed(self, ids: Tensor) -> Tensor | OneHot:
        """(B, T) ids -> input of the recurrent stack: (B, T, D) features or a OneHot of (B, T)."""
        embedded = self.embedding(ids)
        return embedded if isinstance(embedded, OneHot) else self.input_dropout(embedded)

    def classify(self, features: Tensor | OneHot, lengths: Tensor) -> ClassifierOutput:
        """Runs the recurrent part on the output of `embed`."""
        if self.padding == "left":
            features = _right_padded(features, lengths)
        outputs, last = self._run(features, lengths)
        outputs, last = self.output_dropout(outputs), self.output_dropout(last.unsqueeze(1)).squeeze(1)
        pooled = self.pooling(outputs, step_mask(lengths, outputs.shape[1], outputs.device), last)
        return ClassifierOutput(self.output(pooled.vector), pooled.weights)

    def _run(self, features: Tensor | OneHot, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the outputs (B, T, H·directions) and the final hidden state (B, H·directions)."""
        if self.segment_length is not None:
            outputs = _run_segments(self.recurrent, features, lengths, self.segment_length)
            return outputs, outputs[:, 0]
        outputs, state = self.recurrent(features, lengths)
        return outputs, top_hidden(state, self.recurrent.directions)


def _check_segments(segment_length: int | None, pooling: str) -> None:
    if segment_length is None:
        return
    if segment_length < 1:
        raise ValueError(f"segment_length must be at least 1, got {segment_length}")
    if pooling.startswith("last"):
        unusable = f"pooling {pooling!r} uses the last state of one segment only"
        raise ValueError(f"{unusable}: choose another pooling, or no segment_length")


def _right_padded(features: Tensor | OneHot, lengths: Tensor) -> Tensor | OneHot:
    if isinstance(features, OneHot):
        return features.map(lambda steps: move_padding(steps, lengths, to="right"))
    return move_padding(features, lengths, to="right")


def _run_segments(stack: RecurrentStack, features: Tensor | OneHot, lengths: Tensor, size: int) -> Tensor:
    """Runs segments of `size` steps as separate sequences; (B, T, ...) -> (B, T, H·directions)."""
    steps = features.ids.shape[1] if isinstance(features, OneHot) else features.shape[1]
    check_lengths(lengths, steps)
    starts = torch.arange(0, steps, size)
    segment_lengths = (lengths.unsqueeze(1) - starts).clamp(0, size).reshape(-1)
    active = segment_lengths.nonzero().squeeze(1)

    def segment(tensor: Tensor) -> Tensor:
        missing = len(starts) * size - steps
        padded = (
            torch.cat([tensor, tensor.new_zeros(tensor.shape[0], missing, *tensor.shape[2:])], 1) if missing else tensor
        )
        return padded.reshape(-1, size, *tensor.shape[2:])[to_device(active, tensor.device)]

    segments = features.map(segment) if isinstance(features, OneHot) else segment(features)
    outputs = stack(segments, segment_lengths[active]).outputs
    rows = to_device(active, outputs.device)
    whole = outputs.new_zeros(segment_lengths.numel(), size, outputs.shape[-1]).index_copy(0, rows, outputs)
    return whole.view(len(lengths), -1, outputs.shape[-1])[:, :steps]
