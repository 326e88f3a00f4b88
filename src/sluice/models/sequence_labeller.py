"""Many-to-many at the same pace: an output for every step."""

from typing import NamedTuple

from torch import Tensor, nn

from sluice.layers.dropout import VariationalDropout
from sluice.layers.embedding import Embedding
from sluice.recurrent import RecurrentStack, State


class SequenceLabellerOutput(NamedTuple):
    """What the labeller returns."""

    outputs: Tensor
    """(B, T, K): logits of classes, or values; beyond a sequence's length they mean nothing."""
    state: State
    """After each sequence's own last step; goes in again with what follows."""


class SequenceLabeller(nn.Module):
    """Embedding or plain features, recurrent stack, one linear output layer shared by all steps."""

    def __init__(
        self,
        *,
        embedding: Embedding | None = None,
        recurrent: RecurrentStack,
        num_outputs: int,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
    ) -> None:
        """
        Args:
            embedding: ids to the stack's input; None where the inputs are features already.
            recurrent: the stack; its input size is the embedding's output size or the features'.
            num_outputs: K.
            input_dropout: variational dropout on features and embedded words (not on one-hot rows).
            output_dropout: variational dropout on the stack's outputs.

        Raises:
            ValueError: for fewer than one output or a dropout outside [0, 1).
        """
        super().__init__()
        if num_outputs < 1:
            raise ValueError(f"num_outputs must be at least 1, got {num_outputs}")
        self.embedding, self.recurrent = embedding, recurrent
        self.input_dropout = VariationalDropout(input_dropout)
        self.output_dropout = VariationalDropout(output_dropout)
        self.output = nn.Linear(recurrent.output_size, num_outputs)

    @property
    def word_parameters(self) -> tuple[str, ...]:
        """Names of the parameters whose rows are the vocabulary's words."""
        if self.embedding is None:
            return ()
        if self.embedding.one_hot:
            return tuple(f"recurrent.cells.{direction}.weight_ih" for direction in range(self.recurrent.directions))
        return tuple(name for name, _ in self.named_parameters() if name == "embedding.table.weight")

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> SequenceLabellerOutput:
        """
        Args:
            inputs: (B, T) int64 ids, or (B, T, D) features where there is no embedding.
            lengths: (B,) int64 on the CPU.
            state: after what came before; None where nothing did.

        Returns:
            Outputs (B, T, K) and the state at the end.

        Raises:
            ValueError: for a state carried over into a stack in two directions, or lengths that don't fit.
        """
        if state is not None and self.recurrent.directions == 2:
            raise ValueError("a state cannot be carried over in two directions: set model.bidirectional=false")
        embedded = inputs if self.embedding is None else self.embedding(inputs)
        if isinstance(embedded, Tensor):
            embedded = self.input_dropout(embedded)
        outputs, after = self.recurrent(embedded, lengths, state)
        return SequenceLabellerOutput(self.output(self.output_dropout(outputs)), after)
