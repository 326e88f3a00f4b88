"""Where a decoder looks: one weight for each step of the encoder, for every query."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sluice.options import ATTENTIONS
from sluice.recurrent.products import linear


class Memory(NamedTuple):
    """What is looked at: made once a batch, however many queries come."""

    values: Tensor
    """(B, S, M), zero beyond each length."""
    keys: Tensor
    """(B, S, K), what queries are compared with."""
    mask: Tensor
    """(B, S) bool, True on each sequence's own steps."""

    def select(self, rows: Tensor) -> "Memory":
        """The memory of these rows (R,), in their order."""
        return Memory(*(tensor.index_select(0, rows) for tensor in self))


class Attended(NamedTuple):
    """What an attention returns."""

    context: Tensor
    """(B, T, M), the mean of the values by the weights."""
    weights: Tensor
    """(B, T, S), summing to 1 over S; 0 beyond each length."""


def make_attention(kind: str, *, query_size: int, memory_size: int, size: int | None = None) -> "Attention | None":
    """Builds an attention by name.

    Args:
        kind: one of `ATTENTIONS`; "none" gives None.
        query_size: Q, units of a query.
        memory_size: M, units of a value.
        size: units of the hidden layer of "additive"; None for as many as the query has.

    Raises:
        ValueError: for a name that no attention has, or sizes that a dot product cannot join.
    """
    if kind == "none":
        return None
    if kind == "additive":
        return AdditiveAttention(query_size, memory_size, size or query_size)
    if kind == "general":
        return GeneralAttention(query_size, memory_size)
    if kind in ("dot", "scaled_dot"):
        return DotAttention(query_size, memory_size, scaled=kind == "scaled_dot")
    raise ValueError(f"there is no attention {kind!r}; there are {', '.join(ATTENTIONS)}")


class Attention(nn.Module):
    """Scores between queries and keys, softmax over the sequence's own steps, a mean of the values.

    All T queries of a batch go through a few batched products; a single query is T = 1 of the same.
    """

    def remember(self, values: Tensor, mask: Tensor) -> Memory:
        """Projects the keys, once.

        Args:
            values: (B, S, M), the encoder's outputs.
            mask: (B, S) bool, True on each sequence's own steps.
        """
        return Memory(values, self.keys(values), mask)

    def forward(self, queries: Tensor, memory: Memory) -> Attended:
        """
        Args:
            queries: (B, T, Q).
            memory: what `remember` gave.
        """
        scores = self.scores(queries, memory.keys)
        weights = scores.masked_fill(~memory.mask.unsqueeze(1), float("-inf")).softmax(-1)
        return Attended(weights @ memory.values, weights)

    def keys(self, values: Tensor) -> Tensor:
        """(B, S, M) -> (B, S, K)."""
        return values

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(B, T, Q), (B, S, K) -> (B, T, S)."""
        raise NotImplementedError


class AdditiveAttention(Attention):
    """Bahdanau, Cho & Bengio (2015), arXiv 1409.0473, appendix A.1.2: score = v · tanh(W q + U h)."""

    def __init__(self, query_size: int, memory_size: int, size: int) -> None:
        """
        Args:
            query_size: Q.
            memory_size: M.
            size: units of the hidden layer.

        Raises:
            ValueError: if there is no unit.
        """
        super().__init__()
        if size < 1:
            raise ValueError(f"the attention's size must be at least 1, got {size}")
        self.query = nn.Linear(query_size, size)
        self.key = nn.Linear(memory_size, size, bias=False)
        self.score = nn.Linear(size, 1, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        return linear(values, self.key.weight)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        asked = linear(queries, self.query.weight, self.query.bias)
        hidden = torch.tanh(asked.unsqueeze(2) + keys.unsqueeze(1))
        return hidden @ self.score.weight.squeeze(0)


class GeneralAttention(Attention):
    """Luong, Pham & Manning (2015), arXiv 1508.04025, equation 8: score = q · W h."""

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(memory_size, query_size, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        return linear(values, self.key.weight)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        return queries @ keys.transpose(1, 2)


class DotAttention(Attention):
    """The same without W (score = q · h), or divided by √M (Vaswani et al. 2017, arXiv 1706.03762, 3.2.1)."""

    def __init__(self, query_size: int, memory_size: int, *, scaled: bool) -> None:
        """
        Args:
            query_size: Q.
            memory_size: M, the same.
            scaled: whether scores are divided by √M.

        Raises:
            ValueError: if the sizes differ.
        """
        super().__init__()
        if query_size != memory_size:
            name = "scaled_dot" if scaled else "dot"
            raise ValueError(
                f"attention={name} multiplies the decoder's {query_size} units with the encoder's {memory_size} one by "
                "one: make them equal (both directions of the encoder count), or choose general or additive"
            )
        self.factor = memory_size**-0.5 if scaled else 1.0

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        return (queries * self.factor) @ keys.transpose(1, 2)
