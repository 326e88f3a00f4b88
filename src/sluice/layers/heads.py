"""Output layers over a large vocabulary: map features to word probabilities."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.layers.native_loss import loss_kernel
from sluice.layers.output_loss import (
    IGNORED,
    at_least_float,
    cross_entropies,
    exclude,
    linear_cross_entropy,
    split_weight,
)
from sluice.options import HEADS
from sluice.recurrent.products import linear


def make_head(
    kind: str,
    *,
    input_size: int,
    vocab_size: int,
    table: nn.Parameter | None = None,
    cutoffs: Sequence[int] = (),
    excluded: Sequence[int] = (),
) -> "Head":
    """Builds an output layer by name.

    Args:
        kind: "full" or "adaptive".
        input_size: D of the features.
        vocab_size: V.
        table: (V, D) weights tied to an embedding; None for new weights.
        cutoffs: first word of each group of rarer words, see AdaptiveHead.
        excluded: ids of words that have probability 0, such as padding; they keep their rows of the weights.

    Raises:
        ValueError: for an unknown name, or for arguments that the layer rejects.
    """
    if kind == "full":
        return FullHead(input_size=input_size, vocab_size=vocab_size, table=table, excluded=excluded)
    if kind == "adaptive":
        return AdaptiveHead(
            input_size=input_size, vocab_size=vocab_size, table=table, cutoffs=cutoffs, excluded=excluded
        )
    raise ValueError(f"unknown output layer {kind!r}: expected one of {', '.join(HEADS)}")


class Head(nn.Module):
    """Base class of the output layers."""

    def total_loss(
        self, features: Tensor, targets: Tensor, *, scale: float = 1.0, table: Tensor | None = None
    ) -> Tensor:
        """Returns scale · Σ −log p(target), a scalar with a gradient.

        Args:
            features: (N, D).
            targets: (N,) int64; rows with target `IGNORED` are ignored.
            scale: factor of the loss; scaling here takes less time than scaling the result.
            table: (V, D) tied weights whose gradient is needed; None for the layer's own.
        """
        raise NotImplementedError

    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        """Returns −log p(target) of each row, (N,), without gradient; 0 where the target is `IGNORED`."""
        raise NotImplementedError

    def log_probabilities(self, features: Tensor) -> Tensor:
        """Returns log-probabilities (N, V) from features (N, D)."""
        raise NotImplementedError


class FullHead(Head):
    """A linear layer and a softmax over all words; losses are computed in chunks, see `linear_cross_entropy`."""

    def __init__(
        self,
        *,
        input_size: int,
        vocab_size: int,
        table: nn.Parameter | None = None,
        excluded: Sequence[int] = (),
    ) -> None:
        """
        Args:
            input_size: D.
            vocab_size: V.
            table: (V, D) tied weights; None for new weights.
            excluded: ids of words that have probability 0.

        Raises:
            ValueError: if the table has another size.
        """
        super().__init__()
        self.excluded = tuple(excluded)
        self.weight = _make_weight(table, vocab_size, input_size)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def total_loss(
        self, features: Tensor, targets: Tensor, *, scale: float = 1.0, table: Tensor | None = None
    ) -> Tensor:
        inputs = (features, self.weight if table is None else table, self.bias)
        return linear_cross_entropy(*inputs, targets, excluded=self.excluded, scale=scale).smoothed

    @torch.no_grad()
    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        return cross_entropies(features, self.weight, exclude(self.bias, self.excluded), targets)

    def log_probabilities(self, features: Tensor) -> Tensor:
        return at_least_float(linear(features, self.weight, exclude(self.bias, self.excluded))).log_softmax(-1)


class AdaptiveHead(Head):
    """The adaptive softmax of Grave et al. (2017), "Efficient softmax approximation for GPUs".

    The first softmax is over the `cutoffs[0]` most frequent words and one entry for each group of rarer words. Each
    group has a further softmax over its words, computed only for rows whose target is in the group.

    Example:
        >>> head = AdaptiveHead(input_size=8, vocab_size=100, cutoffs=[10, 30])
        >>> features, targets = torch.randn(6, 8), torch.tensor([0, 3, 12, 55, 99, 7])
        >>> head.total_loss(features, targets).shape
        torch.Size([])
        >>> head.log_probabilities(features).exp().sum(1).allclose(torch.ones(6))
        True
    """

    def __init__(
        self,
        *,
        input_size: int,
        vocab_size: int,
        cutoffs: Sequence[int],
        table: nn.Parameter | None = None,
        div_value: int = 4,
        excluded: Sequence[int] = (),
    ) -> None:
        """
        Args:
            input_size: D.
            vocab_size: V; ids are ordered by decreasing frequency.
            cutoffs: first word of each group of rarer words, increasing.
            table: (V, D) tied weights of all words; None for new weights.
            div_value: without a table, the i-th group projects the features to D / div_value**i; with one, uses all D.
            excluded: ids of words that have probability 0, all before the first cutoff.

        Raises:
            ValueError: if the cutoffs do not increase within the vocabulary, an excluded word lies behind the first
                cutoff, or the table has another size.
        """
        super().__init__()
        if not cutoffs or any(b <= a for a, b in zip([0, *cutoffs], [*cutoffs, vocab_size], strict=True)):
            raise ValueError(
                f"cutoffs {list(cutoffs)} must increase, above 0 and below the vocabulary size of {vocab_size} words"
            )
        if any(word >= cutoffs[0] for word in excluded):
            raise ValueError(f"the first cutoff must be above the excluded words {list(excluded)}, got {cutoffs[0]}")
        self.excluded = tuple(excluded)
        self.bounds = [0, *cutoffs, vocab_size]
        self.sizes = [end - start for start, end in zip(self.bounds, self.bounds[1:], strict=False)]
        groups = len(cutoffs)
        self.groups = nn.Linear(input_size, groups)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.weight: nn.Parameter | None = None
        self.maps = nn.ModuleList()
        self.rows = nn.ParameterList()
        if table is not None:
            self.weight = _make_weight(table, vocab_size, input_size)
            return
        widths = [input_size] + [max(1, input_size // div_value**group) for group in range(1, groups + 1)]
        self.maps.extend(nn.Linear(input_size, width, bias=False) for width in widths[1:])
        self.rows.extend(_make_weight(None, size, width) for size, width in zip(self.sizes, widths, strict=True))

    def total_loss(
        self, features: Tensor, targets: Tensor, *, scale: float = 1.0, table: Tensor | None = None
    ) -> Tensor:
        if loss_kernel(self.bias) is None:
            return self._losses(features, targets, table).sum() * scale
        weights, biases = self._split_by_group(table)
        memory: Sequence[Tensor | None] = [None] * len(self.sizes)
        tied = self.weight if table is None else table
        if tied is not None:
            weights, memory = split_weight(tied, self.sizes)
        entries, members = self._assign(targets)
        weight, bias = (torch.cat(parts) for parts in ((weights[0], self.groups.weight), (biases[0], self.groups.bias)))
        total = linear_cross_entropy(features, weight, bias, entries, scale=scale).smoothed
        for group, rows in enumerate(members, start=1):
            inputs = self._project(group, features.index_select(0, rows)), weights[group], biases[group]
            words = targets[rows] - self.bounds[group]
            total = total + linear_cross_entropy(*inputs, words, grad_weight=memory[group], scale=scale).smoothed
        return total

    @torch.no_grad()
    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        return self._losses(features, targets)

    def log_probabilities(self, features: Tensor) -> Tensor:
        weights, biases = self._split_by_group()
        head = self._head_logits(features, weights[0], biases[0]).log_softmax(-1)
        parts = [head[:, : self.sizes[0]]]
        for group in range(1, len(self.sizes)):
            logits = linear(self._project(group, features), weights[group], biases[group])
            parts.append(at_least_float(logits).log_softmax(-1) + head[:, self.sizes[0] + group - 1].unsqueeze(1))
        return torch.cat(parts, -1)

    def _losses(self, features: Tensor, targets: Tensor, table: Tensor | None = None) -> Tensor:
        """`losses`, with a gradient where gradients are enabled."""
        weights, biases = self._split_by_group(table)
        entries, members = self._assign(targets)
        head = self._head_logits(features, weights[0], biases[0])
        losses = F.cross_entropy(head, entries, ignore_index=IGNORED, reduction="none")
        for group, rows in enumerate(members, start=1):
            mapped = self._project(group, features.index_select(0, rows))
            words = targets[rows] - self.bounds[group]
            if torch.is_grad_enabled():
                logits = linear(mapped, weights[group], biases[group])
                within = F.cross_entropy(at_least_float(logits), words, reduction="none")
            else:
                within = cross_entropies(mapped, weights[group], biases[group], words)
            losses = losses.index_add(0, rows, within)
        return losses

    def _assign(self, targets: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Returns the entry of each target in the first softmax, and the rows whose targets are in each group."""
        entries, members = targets, []
        for group in range(1, len(self.sizes)):
            inside = (targets >= self.bounds[group]) & (targets < self.bounds[group + 1])
            entries = torch.where(inside, self.sizes[0] + group - 1, entries)
            members.append(inside.nonzero().squeeze(1))
        return entries, members

    def _head_logits(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Logits of the frequent words and of the groups."""
        return at_least_float(torch.cat([linear(features, weight, bias), self.groups(features)], -1))

    def _project(self, group: int, features: Tensor) -> Tensor:
        return features if self.weight is not None else self.maps[group - 1](features)

    def _split_by_group(self, table: Tensor | None = None) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Splits weights and biases by group; a single split also has a single concatenation in its backward."""
        tied = self.weight if table is None else table
        weights = list(self.rows) if tied is None else tied.split(self.sizes)
        return weights, exclude(self.bias, self.excluded).split(self.sizes)


def _make_weight(table: nn.Parameter | None, words: int, size: int) -> nn.Parameter:
    """Returns the tied weights, or makes new ones.

    Raises:
        ValueError: if the table has another size.
    """
    if table is None:
        return nn.Parameter(torch.empty(words, size).uniform_(-(size**-0.5), size**-0.5))
    if tuple(table.shape) != (words, size):
        raise ValueError(
            f"tied weights need equal sizes: the embedding size is {table.shape[1]}, the output layer's {size}; "
            "set embedding.size to it, or task.projection=true, or task.tie_weights=none"
        )
    return table
