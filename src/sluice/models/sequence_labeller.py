"""Sequence labelling: an output for every step."""

from typing import NamedTuple

from torch import Tensor, nn

from sluice.layers.dropout import VariationalDropout
from sluice.layers.embedding import Embedding
from sluice.recurrent import RecurrentStack, StackState


class SequenceLabellerOutput(NamedTuple):
    """Output of SequenceLabeller."""

    outputs: Tensor
    """(B, T, K), logits of classes, or values; undefined beyond each length."""
    state: StackState
    """State after the last step of each sequence; the input state of the following chunk."""


class SequenceLabeller(nn.Module):
    """Embedding (optional), recurrent stack, and a linear output layer applied at every step.

    Example:
        >>> import torch
        >>> from sluice.recurrent import RecurrentStack
        >>> recurrent = RecurrentStack(cell="lstm", input_size=5, hidden_size=16, bidirectional=True)
        >>> model = SequenceLabeller(recurrent=recurrent, num_outputs=3)
        >>> model(torch.randn(2, 7, 5), torch.tensor([7, 4])).outputs.shape
        torch.Size([2, 7, 3])
    """

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
            embedding: maps ids to the input of the stack; None if the inputs are features.
            recurrent: recurrent stack; its input size is that of the embedding or of the features.
            num_outputs: K, outputs per step.
            input_dropout: variational dropout on features and embedded words (not on one-hot rows).
            output_dropout: variational dropout on the outputs of the stack.

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
        """Names of the parameters that have one row per vocabulary word."""
        if self.embedding is None:
            return ()
        if self.embedding.one_hot:
            return tuple(f"recurrent.cells.{direction}.weight_ih" for direction in range(self.recurrent.directions))
        return tuple(name for name, _ in self.named_parameters() if name == "embedding.table.weight")

    def forward(self, inputs: Tensor, lengths: Tensor, state: StackState | None = None) -> SequenceLabellerOutput:
        """Computes the outputs of every step.

        Args:
            inputs: (B, T) int64 ids, or (B, T, D) features without an embedding.
            lengths: (B,) int64 on the CPU.
            state: state after the preceding chunk; None for the initial state.

        Returns:
            Outputs (B, T, K) and the final state.

        Raises:
            ValueError: for a state passed to a bidirectional stack, or invalid lengths.
        """
        if state is not None and self.recurrent.directions == 2:
            raise ValueError("a bidirectional stack cannot carry its state over: set model.bidirectional=false")
        embedded = inputs if self.embedding is None else self.embedding(inputs)
        if isinstance(embedded, Tensor):
            embedded = self.input_dropout(embedded)
        outputs, after = self.recurrent(embedded, lengths, state)
        return SequenceLabellerOutput(self.output(self.output_dropout(outputs)), after)
