"""Output layers over a large vocabulary: from features to the probability of every word."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.layers.output_loss import CHUNK, IGNORED, output_loss
from sluice.options import HEADS
from sluice.recurrent.products import linear


def make_head(
    kind: str,
    *,
    input_size: int,
    vocab_size: int,
    table: nn.Parameter | None = None,
    cutoffs: Sequence[int] = (),
) -> "Head":
    """Builds an output layer by name.

    Args:
        kind: "full" or "adaptive".
        input_size: D of the features.
        vocab_size: V.
        table: (V, D) the weights of the words, where they are tied to an embedding; None for weights of their own.
        cutoffs: of "adaptive".

    Raises:
        ValueError: for a name that no output layer has, or what the layer refuses.
    """
    if kind == "full":
        return FullHead(input_size=input_size, vocab_size=vocab_size, table=table)
    if kind == "adaptive":
        return AdaptiveHead(input_size=input_size, vocab_size=vocab_size, table=table, cutoffs=cutoffs)
    raise ValueError(f"there is no output layer {kind!r}; there are {', '.join(HEADS)}")


class Head(nn.Module):
    """From features (N, D) to words."""

    def total_loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Σ −log p(target), a scalar with a gradient.

        Args:
            features: (N, D).
            targets: (N,) int64, `IGNORED` where nothing counts.
        """
        raise NotImplementedError

    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        """−log p(target) for each, (N,), 0 where it is `IGNORED`; without a gradient."""
        raise NotImplementedError

    def log_probabilities(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, V)."""
        raise NotImplementedError


class FullHead(Head):
    """A linear layer and a softmax over all words; the logits never stand in memory for all rows, see `output_loss`."""

    def __init__(self, *, input_size: int, vocab_size: int, table: nn.Parameter | None = None) -> None:
        """
        Args:
            input_size: D.
            vocab_size: V.
            table: (V, D) weights to share; None for its own.

        Raises:
            ValueError: if the table has another size.
        """
        super().__init__()
        self.weight = _own_or_tied(table, vocab_size, input_size)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def total_loss(self, features: Tensor, targets: Tensor) -> Tensor:
        return output_loss(features, self.weight, self.bias, targets).smoothed

    @torch.no_grad()
    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        losses = []
        for rows, own in zip(features.split(CHUNK), targets.split(CHUNK), strict=True):
            logits = linear(rows, self.weight, self.bias).float()
            losses.append(F.cross_entropy(logits, own, ignore_index=IGNORED, reduction="none"))
        return torch.cat(losses)

    def log_probabilities(self, features: Tensor) -> Tensor:
        return linear(features, self.weight, self.bias).float().log_softmax(-1)


class AdaptiveHead(Head):
    """The adaptive softmax of Grave et al. (2017), "Efficient softmax approximation for GPUs".

    The first `cutoffs[0]` words, the frequent ones, share a softmax with one entry for each group of rarer words;
    within a group the words have a softmax of their own, computed only where such a word is the target.
    """

    def __init__(
        self,
        *,
        input_size: int,
        vocab_size: int,
        cutoffs: Sequence[int],
        table: nn.Parameter | None = None,
        shrink: int = 4,
    ) -> None:
        """
        Args:
            input_size: D.
            vocab_size: V; ids from the most frequent word on.
            cutoffs: where each group of rarer words begins, rising.
            table: (V, D) weights of all words, to share; None for own ones.
            shrink: without a table, the i-th group sees D / shrink**i features through a linear map; with one, all D.

        Raises:
            ValueError: if the cutoffs don't rise within the vocabulary, or the table has another size.
        """
        super().__init__()
        if not cutoffs or any(b <= a for a, b in zip([0, *cutoffs], [*cutoffs, vocab_size], strict=True)):
            raise ValueError(
                f"cutoffs {list(cutoffs)} must rise, above 0 and below the vocabulary's {vocab_size} words"
            )
        self.bounds = [0, *cutoffs, vocab_size]
        self.sizes = [end - start for start, end in zip(self.bounds, self.bounds[1:], strict=False)]
        groups = len(cutoffs)
        self.groups = nn.Linear(input_size, groups)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.weight: nn.Parameter | None = None
        self.maps = nn.ModuleList()
        self.rows = nn.ParameterList()
        if table is not None:
            self.weight = _own_or_tied(table, vocab_size, input_size)
            return
        widths = [input_size] + [max(1, input_size // shrink**group) for group in range(1, groups + 1)]
        self.maps.extend(nn.Linear(input_size, width, bias=False) for width in widths[1:])
        self.rows.extend(_own_or_tied(None, size, width) for size, width in zip(self.sizes, widths, strict=True))

    def total_loss(self, features: Tensor, targets: Tensor) -> Tensor:
        return self._losses(features, targets).sum()

    @torch.no_grad()
    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        return self._losses(features, targets)

    def log_probabilities(self, features: Tensor) -> Tensor:
        weights, biases = self._parts()
        first = self._first(features, weights[0], biases[0]).log_softmax(-1)
        parts = [first[:, : self.sizes[0]]]
        for group in range(1, len(self.sizes)):
            within = linear(self._map(group, features), weights[group], biases[group]).float().log_softmax(-1)
            parts.append(within + first[:, self.sizes[0] + group - 1].unsqueeze(1))
        return torch.cat(parts, -1)

    def _losses(self, features: Tensor, targets: Tensor) -> Tensor:
        """(N,) with a gradient."""
        weights, biases = self._parts()
        entries, members = targets, []
        for group in range(1, len(self.sizes)):
            inside = (targets >= self.bounds[group]) & (targets < self.bounds[group + 1])
            entries = torch.where(inside, self.sizes[0] + group - 1, entries)
            members.append(inside.nonzero().squeeze(1))
        first = self._first(features, weights[0], biases[0])
        losses = F.cross_entropy(first, entries, ignore_index=IGNORED, reduction="none")
        for group, own in enumerate(members, start=1):
            mapped = self._map(group, features.index_select(0, own))
            logits = linear(mapped, weights[group], biases[group]).float()
            within = F.cross_entropy(logits, targets[own] - self.bounds[group], reduction="none")
            losses = losses.index_add(0, own, within)
        return losses

    def _first(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Logits of the frequent words and of the groups."""
        return torch.cat([linear(features, weight, bias), self.groups(features)], -1).float()

    def _map(self, group: int, features: Tensor) -> Tensor:
        return features if self.weight is not None else self.maps[group - 1](features)

    def _parts(self) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Weights and biases by group; split in one go, whose gradient is put together in one go."""
        weights = list(self.rows) if self.weight is None else self.weight.split(self.sizes)
        return weights, self.bias.split(self.sizes)


def _own_or_tied(table: nn.Parameter | None, words: int, size: int) -> nn.Parameter:
    """
    Raises:
        ValueError: if the table has another size.
    """
    if table is None:
        return nn.Parameter(torch.empty(words, size).uniform_(-(size**-0.5), size**-0.5))
    if tuple(table.shape) != (words, size):
        raise ValueError(
            f"tied weights need one size: the embedding has {table.shape[1]} units a word, the output layer {size}; "
            "set embedding.size to it, or task.projection=true, or task.tie_weights=none"
        )
    return table
