"""One-hot vectors stored as indices."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class OneHot(NamedTuple):
    """A (B, T, V) tensor of one-hot rows, stored as (B, T) indices.

    Its product with a weight matrix is a look-up of the matrix's rows. Cells accept a OneHot in place of features, and
    the (B, T, V) tensor is never materialised.
    """

    ids: Tensor
    """(B, T) int64, the index of the one."""
    size: int
    """V, the length of each one-hot row."""
    scale: Tensor | None = None
    """(B, T), replaces the one: 0 where a word was dropped, 1 / (1 - p) where it was kept. None for 1."""

    def times(self, rows: Tensor) -> Tensor:
        """Returns the product with a matrix.

        Args:
            rows: (V, N), the matrix.

        Returns:
            (B, T, N).
        """
        looked_up = F.embedding(self.ids, rows)
        return looked_up if self.scale is None else looked_up * self.scale.unsqueeze(-1)

    def materialise(self) -> Tensor:
        """Returns the dense (B, T, V) tensor, for tests and small V."""
        dense = F.one_hot(self.ids, self.size).to(torch.get_default_dtype())
        return dense if self.scale is None else dense * self.scale.unsqueeze(-1)

    def map(self, change: Callable[[Tensor], Tensor]) -> "OneHot":
        """Returns the same rows in another layout; `change` maps a (B, T) tensor to the new layout."""
        return OneHot(change(self.ids), self.size, None if self.scale is None else change(self.scale))
