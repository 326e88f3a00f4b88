"""Regression of one or more values per sequence."""

from torch import Tensor, nn

from sluice.layers.dropout import VariationalDropout
from sluice.recurrent import RecurrentStack
from sluice.recurrent.states import top_hidden


class Regressor(nn.Module):
    """Recurrent stack over features, and a linear output layer on the final hidden state of each sequence."""

    word_parameters: tuple[str, ...] = ()
    """Names of the parameters that have one row per vocabulary word: none."""

    def __init__(self, *, recurrent: RecurrentStack, num_outputs: int = 1, output_dropout: float = 0.0) -> None:
        """
        Args:
            recurrent: recurrent stack; its input size is that of the features.
            num_outputs: K, values per sequence.
            output_dropout: variational dropout on the final hidden state.

        Raises:
            ValueError: for fewer than one output or a dropout outside [0, 1).
        """
        super().__init__()
        if num_outputs < 1:
            raise ValueError(f"num_outputs must be at least 1, got {num_outputs}")
        self.recurrent = recurrent
        self.output_dropout = VariationalDropout(output_dropout)
        self.output = nn.Linear(recurrent.output_size, num_outputs)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Predicts the values of sequences.

        Args:
            features: (B, T, D).
            lengths: (B,) int64 on the CPU.

        Returns:
            Values (B, K).
        """
        _, state = self.recurrent(features, lengths)
        last = top_hidden(state, self.recurrent.directions)
        values: Tensor = self.output(self.output_dropout(last.unsqueeze(1)).squeeze(1))
        return values
