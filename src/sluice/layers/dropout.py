"""Dropout for sequences."""

import torch
from torch import Tensor, nn


class VariationalDropout(nn.Module):
    """Dropout with the same mask at every step (Gal & Ghahramani 2016, "A theoretically grounded application")."""

    def __init__(self, p: float) -> None:
        """
        Args:
            p: dropout probability.

        Raises:
            ValueError: if p lies outside [0, 1).
        """
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {p}")
        self.p = p

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        if not self.training or self.p == 0:
            return inputs
        mask = torch.empty_like(inputs[:, :1]).bernoulli_(1 - self.p).div_(1 - self.p)
        return inputs * mask

    def extra_repr(self) -> str:
        return f"p={self.p}"
