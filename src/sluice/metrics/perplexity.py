"""Sums over tokens, exact over batches and ranks."""

import torch
from torch import Tensor
from torchmetrics import Metric


class TokenLoss(Metric):
    """ΣNLL / Σtokens, in nats."""

    nll: Tensor
    tokens: Tensor
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nll", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("tokens", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, nll: Tensor, tokens: int) -> None:
        """Adds Σ −log p of so many tokens."""
        self.nll += nll.double()
        self.tokens += tokens

    def compute(self) -> Tensor:
        return self.nll / self.tokens


class Perplexity(TokenLoss):
    """exp(ΣNLL / Σtokens), over everything, never a mean of perplexities."""

    def compute(self) -> Tensor:
        return super().compute().exp()


class BitsPerToken(TokenLoss):
    """ΣNLL / Σtokens in bits: bits per character where tokens are letters."""

    def compute(self) -> Tensor:
        return super().compute() / torch.log(torch.tensor(2.0, dtype=torch.float64))
