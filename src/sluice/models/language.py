"""Autoregressive language model: the next word from all words before it."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sluice.layers.dropout import VariationalDropout
from sluice.layers.embedding import Embedding
from sluice.layers.heads import Head
from sluice.recurrent import RecurrentStack, State


class LanguageModelOutput(NamedTuple):
    """What the model makes of a piece of text."""

    features: Tensor
    """(B, T, D), what the output layer takes at every step."""
    outputs: Tensor
    """(B, T, H) of the recurrent core, before dropout."""
    dropped: Tensor
    """(B, T, H), after it."""
    state: State
    """After the last step; goes in again with the text that follows."""


class LanguageModel(nn.Module):
    """Embedding, recurrent stack, output layer; with the dropouts of AWD-LSTM (Merity, Keskar & Socher 2018)."""

    def __init__(
        self,
        *,
        embedding: Embedding,
        recurrent: RecurrentStack,
        head: Head,
        projection: nn.Linear | None = None,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
    ) -> None:
        """
        Args:
            embedding: ids to the stack's input.
            recurrent: the stack, in one direction.
            head: the output layer over the stack's outputs, or over the projected ones.
            projection: from the outputs to the head's features; None for none.
            input_dropout: variational dropout on the embedded words (features only, not one-hot rows).
            output_dropout: variational dropout on the outputs.

        Raises:
            ValueError: for a stack in two directions, or a dropout outside [0, 1).
        """
        super().__init__()
        require_one_direction(recurrent)
        self.embedding, self.recurrent, self.projection, self.head = embedding, recurrent, projection, head
        self.input_dropout = VariationalDropout(input_dropout)
        self.output_dropout = VariationalDropout(output_dropout)

    @property
    def word_parameters(self) -> tuple[str, ...]:
        """Names of the parameters whose rows are the vocabulary's words."""
        words = ("embedding.table.weight", "head.weight", "head.bias")
        own = tuple(name for name, _ in self.named_parameters(remove_duplicate=False) if name in words)
        return (*own, "recurrent.cells.0.weight_ih") if self.embedding.one_hot else own

    def forward(self, ids: Tensor, state: State | None = None) -> LanguageModelOutput:
        """
        Args:
            ids: (B, T) int64.
            state: after the text before; None where there is none.

        Returns:
            What the output layer takes, and the state after the last step.
        """
        embedded = self.embedding(ids)
        if isinstance(embedded, Tensor):
            embedded = self.input_dropout(embedded)
        lengths = torch.full((len(ids),), ids.shape[1], dtype=torch.int64)
        outputs, after = self.recurrent(embedded, lengths, state)
        dropped = self.output_dropout(outputs)
        features = dropped if self.projection is None else self.projection(dropped)
        return LanguageModelOutput(features, outputs, dropped, after)

    def total_loss(self, read: LanguageModelOutput, targets: Tensor) -> Tensor:
        """Σ −log p over targets (B, T) that count, a scalar with a gradient."""
        return self.head.total_loss(read.features.flatten(0, 1), targets.flatten())

    def losses(self, read: LanguageModelOutput, targets: Tensor) -> Tensor:
        """−log p of each target, (B, T), without a gradient; 0 where it doesn't count."""
        return self.head.losses(read.features.flatten(0, 1), targets.flatten()).view(targets.shape)

    def next_log_probabilities(self, read: LanguageModelOutput) -> Tensor:
        """(B, V) log-probabilities of what follows the last step."""
        return self.head.log_probabilities(read.features[:, -1])

    def step(self, last: Tensor, state: State | None) -> tuple[Tensor, State]:
        """One token further: what decoding works with.

        Args:
            last: (N,) int64, the token that came.
            state: before it.

        Returns:
            Log-probabilities (N, V) of the token after it, and the state.
        """
        read = self(last.unsqueeze(1), state)
        return self.next_log_probabilities(read), read.state

    @torch.no_grad()
    def prefill(self, ids: Tensor) -> tuple[Tensor, State | None]:
        """Reads all but the last token of texts (N, T).

        Returns:
            The last tokens (N,) and the state before them, None where there is nothing before: what `step` takes.
        """
        return ids[:, -1], self(ids[:, :-1]).state if ids.shape[1] > 1 else None


def require_one_direction(recurrent: RecurrentStack) -> None:
    """
    Raises:
        ValueError: for a stack in two directions.
    """
    if recurrent.directions != 1:
        raise ValueError(
            "a language model reads in one direction: with model.bidirectional=true it would see the words that "
            "it is to predict; set model.bidirectional=false"
        )
