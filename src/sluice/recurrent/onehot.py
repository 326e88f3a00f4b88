"""One-hot vectors that are never written out."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class OneHot(NamedTuple):
    """A (B, T, V) tensor of one-hot rows, kept as the (B, T) positions of the ones.

    A product with a weight matrix is then a look-up of the matrix's rows: the cells take a OneHot wherever they take
    features, and no tensor of size V per token is ever made.
    """

    ids: Tensor
    """(B, T) int64, the position of the one."""
    size: int
    """V, the length of each one-hot row."""
    scale: Tensor | None = None
    """(B, T) or None: what stands in place of the one (0 where a word was dropped, 1 / (1 - p) where it was kept)."""

    def times(self, rows: Tensor) -> Tensor:
        """The product with a matrix.

        Args:
            rows: (V, N), the matrix.

        Returns:
            (B, T, N).
        """
        looked_up = F.embedding(self.ids, rows)
        return looked_up if self.scale is None else looked_up * self.scale.unsqueeze(-1)

    def materialise(self) -> Tensor:
        """Writes out the (B, T, V) tensor: for tests and for small V."""
        dense = F.one_hot(self.ids, self.size).to(torch.get_default_dtype())
        return dense if self.scale is None else dense * self.scale.unsqueeze(-1)

    def map(self, change: Callable[[Tensor], Tensor]) -> "OneHot":
        """The same rows in another order; `change` maps a (B, T) tensor to one of the new layout."""
        return OneHot(change(self.ids), self.size, None if self.scale is None else change(self.scale))
