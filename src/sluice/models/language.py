"""Autoregressive language model."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sluice.layers.dropout import VariationalDropout
from sluice.layers.embedding import Embedding, LearnedEmbedding, split_uses
from sluice.layers.heads import Head
from sluice.recurrent import RecurrentStack, StackState


class LanguageModelOutput(NamedTuple):
    """Output of LanguageModel."""

    features: Tensor
    """(B, T, D), input of the output layer."""
    outputs: Tensor
    """(B, T, H), outputs of the recurrent stack before dropout."""
    dropped: Tensor
    """(B, T, H), the outputs after dropout."""
    state: StackState
    """State after the last step; the input state of the following text."""
    table: Tensor | None = None
    """(V, D), weights of the output layer that are tied to the embedding, see `split_uses`; None for its own."""


class LanguageModel(nn.Module):
    """Embedding, recurrent stack, output layer; with the dropouts of AWD-LSTM (Merity, Keskar & Socher 2018).

    Example:
        >>> from sluice.layers.embedding import make_embedding
        >>> from sluice.layers.heads import make_head
        >>> from sluice.recurrent import RecurrentStack
        >>> model = LanguageModel(
        ...     embedding=make_embedding("learned", vocab_size=50, size=8, padding_id=1, word_dropout=0.0),
        ...     recurrent=RecurrentStack(cell="gru", input_size=8, hidden_size=16),
        ...     head=make_head("full", input_size=16, vocab_size=50),
        ... )
        >>> output = model(torch.randint(50, (4, 10)))
        >>> model.next_log_probabilities(output).shape
        torch.Size([4, 50])
        >>> output = model(torch.randint(50, (4, 10)), output.state)  # the text that follows
    """

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
            embedding: maps ids to the input of the stack.
            recurrent: unidirectional recurrent stack.
            head: output layer over the outputs of the stack, or over their projection.
            projection: projection of the outputs; None for none.
            input_dropout: variational dropout on the embedded words (features only, not one-hot rows).
            output_dropout: variational dropout on the outputs.

        Raises:
            ValueError: for a bidirectional stack, or a dropout outside [0, 1).
        """
        super().__init__()
        require_one_direction(recurrent)
        self.embedding, self.recurrent, self.projection, self.head = embedding, recurrent, projection, head
        self.input_dropout = VariationalDropout(input_dropout)
        self.output_dropout = VariationalDropout(output_dropout)

    @property
    def word_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that have one row per vocabulary word."""
        words = ("embedding.table.weight", "head.weight", "head.bias")
        names = tuple(name for name, _ in self.named_parameters(remove_duplicate=False) if name in words)
        return (*names, "recurrent.cells.0.weight_ih") if self.embedding.one_hot else names

    def forward(self, ids: Tensor, state: StackState | None = None) -> LanguageModelOutput:
        """Processes a chunk of text.

        Args:
            ids: (B, T) int64.
            state: state after the preceding text; None for the initial state.
        """
        tied = self._tied_table(ids)
        rows, table = (None, None) if tied is None else split_uses(tied)
        embedded = self.embedding(ids) if rows is None else self.embedding(ids, rows)
        if isinstance(embedded, Tensor):
            embedded = self.input_dropout(embedded)
        lengths = torch.full((len(ids),), ids.shape[1], dtype=torch.int64)
        outputs, after = self.recurrent(embedded, lengths, state)
        dropped = self.output_dropout(outputs)
        features = dropped if self.projection is None else self.projection(dropped)
        return LanguageModelOutput(features, outputs, dropped, after, table)

    def _tied_table(self, ids: Tensor) -> Tensor | None:
        """Weights of embedding and output layer where `split_uses` is faster, in training on a CPU; else None."""
        if ids.device.type != "cpu" or not self.training or type(self.embedding) is not LearnedEmbedding:
            return None
        table = self.embedding.table.weight
        return table if table is getattr(self.head, "weight", None) else None

    def total_loss(self, output: LanguageModelOutput, targets: Tensor, *, scale: float = 1.0) -> Tensor:
        """Returns scale · Σ −log p over the targets (B, T) that are not ignored; differentiable."""
        features = output.features.flatten(0, 1)
        return self.head.total_loss(features, targets.flatten(), scale=scale, table=output.table)

    def losses(self, output: LanguageModelOutput, targets: Tensor) -> Tensor:
        """Returns −log p of each target, (B, T), without a gradient; 0 for ignored targets."""
        return self.head.losses(output.features.flatten(0, 1), targets.flatten()).view(targets.shape)

    def next_log_probabilities(self, output: LanguageModelOutput) -> Tensor:
        """Returns the log-probabilities (B, V) of the token after the last step."""
        return self.head.log_probabilities(output.features[:, -1])

    def step(self, last: Tensor, state: StackState | None) -> tuple[Tensor, StackState]:
        """Computes one step of decoding.

        Args:
            last: (N,) int64, the previous token.
            state: state before that token.

        Returns:
            Log-probabilities (N, V) of the next token, and the new state.
        """
        output = self(last.unsqueeze(1), state)
        return self.next_log_probabilities(output), output.state

    @torch.no_grad()
    def prefill(self, ids: Tensor) -> tuple[Tensor, StackState | None]:
        """Processes all but the last token of texts (N, T).

        Returns:
            The arguments of `step`: the last tokens (N,) and the state before them, None for texts of one token.
        """
        return ids[:, -1], self(ids[:, :-1]).state if ids.shape[1] > 1 else None


def require_one_direction(recurrent: RecurrentStack) -> None:
    """Refuses bidirectional stacks.

    Raises:
        ValueError: for a bidirectional stack.
    """
    if recurrent.directions != 1:
        raise ValueError(
            "a language model must be unidirectional: with model.bidirectional=true the words to predict would be "
            "inputs; set model.bidirectional=false"
        )
