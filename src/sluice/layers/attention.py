"""Attention over the outputs of an encoder."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sluice.options import ATTENTIONS
from sluice.recurrent.products import linear


class Memory(NamedTuple):
    """The attended sequences of a batch, prepared once for any number of queries."""

    values: Tensor
    """(B, S, M), zero beyond each length."""
    keys: Tensor
    """(B, S, K)."""
    mask: Tensor
    """(B, S) bool, True within each sequence's length."""

    def select(self, rows: Tensor) -> "Memory":
        """Returns the memory of these rows (R,), in their order."""
        return Memory(*(tensor.index_select(0, rows) for tensor in self))


class AttentionOutput(NamedTuple):
    """Result of an attention."""

    context: Tensor
    """(B, T, M), the weighted mean of the values."""
    weights: Tensor
    """(B, T, S), sum to 1 over S; 0 beyond each length."""


def make_attention(kind: str, *, query_size: int, memory_size: int, size: int | None = None) -> "Attention | None":
    """Builds an attention by name.

    Example:
        >>> attention = make_attention("additive", query_size=4, memory_size=6)
        >>> values, mask = torch.randn(2, 5, 6), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
        >>> context, weights = attention(torch.randn(2, 1, 4), attention.prepare_memory(values, mask))
        >>> context.shape, weights.shape
        (torch.Size([2, 1, 6]), torch.Size([2, 1, 5]))
        >>> weights[1, 0, 3:].tolist()
        [0.0, 0.0]

    Args:
        kind: one of `ATTENTIONS`; "none" returns None.
        query_size: Q, units of a query.
        memory_size: M, units of a value.
        size: units of the hidden layer of "additive"; None for `query_size`.

    Raises:
        ValueError: for an unknown name, or sizes that differ for a dot product.
    """
    if kind == "none":
        return None
    if kind == "additive":
        return AdditiveAttention(query_size, memory_size, query_size if size is None else size)
    if kind == "general":
        return GeneralAttention(query_size, memory_size)
    if kind in ("dot", "scaled_dot"):
        return DotAttention(query_size, memory_size, scaled=kind == "scaled_dot")
    raise ValueError(f"unknown attention {kind!r}: expected one of {', '.join(ATTENTIONS)}")


class Attention(nn.Module):
    """Base class: scores between queries and keys, softmax within each sequence's length, weighted mean of the values.

    All T queries of a batch are computed in a few batched products; pass T = 1 for a single query.
    """

    def prepare_memory(self, values: Tensor, mask: Tensor) -> Memory:
        """Prepares the memory of a batch, with projected keys.

        Args:
            values: (B, S, M), the encoder's outputs.
            mask: (B, S) bool, True within each sequence's length.
        """
        return Memory(values, self.keys(values), mask)

    def forward(self, queries: Tensor, memory: Memory) -> AttentionOutput:
        """Attends to the memory.

        Args:
            queries: (B, T, Q).
            memory: the result of `prepare_memory`.
        """
        scores = self.scores(queries, memory.keys)
        weights = scores.masked_fill(~memory.mask.unsqueeze(1), float("-inf")).softmax(-1)
        return AttentionOutput(weights @ memory.values, weights)

    def keys(self, values: Tensor) -> Tensor:
        """Projects values (B, S, M) to keys (B, S, K)."""
        return values

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Returns the scores (B, T, S) of queries (B, T, Q) and keys (B, S, K)."""
        raise NotImplementedError


class AdditiveAttention(Attention):
    """Additive attention, Bahdanau, Cho & Bengio (2015), arXiv 1409.0473, A.1.2: score = v · tanh(W q + U h)."""

    def __init__(self, query_size: int, memory_size: int, size: int) -> None:
        """
        Args:
            query_size: Q.
            memory_size: M.
            size: units of the hidden layer.

        Raises:
            ValueError: if `size` is below 1.
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
        projected_queries = linear(queries, self.query.weight, self.query.bias)
        hidden = torch.tanh(projected_queries.unsqueeze(2) + keys.unsqueeze(1))
        return hidden @ self.score.weight.squeeze(0)


class GeneralAttention(Attention):
    """General attention, Luong, Pham & Manning (2015), arXiv 1508.04025, equation 8: score = q · W h."""

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(memory_size, query_size, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        return linear(values, self.key.weight)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        return queries @ keys.transpose(1, 2)


class DotAttention(Attention):
    """Dot-product attention: score = q · h, or q · h / √M (Vaswani et al. 2017, arXiv 1706.03762, 3.2.1)."""

    def __init__(self, query_size: int, memory_size: int, *, scaled: bool) -> None:
        """
        Args:
            query_size: Q.
            memory_size: M, equal to Q.
            scaled: whether to divide scores by √M.

        Raises:
            ValueError: if the sizes differ.
        """
        super().__init__()
        if query_size != memory_size:
            name = "scaled_dot" if scaled else "dot"
            raise ValueError(
                f"attention={name} needs equal sizes, but the decoder has {query_size} units and the encoder "
                f"{memory_size} (over both directions): make them equal, or choose general or additive"
            )
        self.factor = memory_size**-0.5 if scaled else 1.0

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        return (queries * self.factor) @ keys.transpose(1, 2)
