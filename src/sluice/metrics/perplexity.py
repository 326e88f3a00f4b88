"""Loss, perplexity and bits per token, exact over batches and ranks."""

import torch
from torch import Tensor

from sluice.metrics.sums import Sums


class TokenLoss(Sums):
    """Mean negative log-likelihood per token in nats: ΣNLL / Σtokens."""

    nll: Tensor
    tokens: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("nll", "tokens")

    def update(self, nll: Tensor, tokens: int) -> None:
        """Adds a batch.

        Args:
            nll: (), Σ −log p.
            tokens: number of tokens.
        """
        self.nll += nll.double()
        self.tokens += tokens

    def compute(self) -> Tensor:
        return self.nll / self.tokens


class Perplexity(TokenLoss):
    """exp(ΣNLL / Σtokens) over all batches and ranks, not a mean of perplexities.

    Example:
        >>> metric = Perplexity()
        >>> metric.update(torch.tensor(4.0).log() * 10, tokens=10)  # probability 1/4 for each of 10 tokens
        >>> round(metric.compute().item(), 4)
        4.0
    """

    def compute(self) -> Tensor:
        return super().compute().exp()


class BitsPerToken(TokenLoss):
    """Mean negative log-likelihood per token in bits; bits per character in character-level models."""

    def compute(self) -> Tensor:
        return super().compute() / torch.log(torch.tensor(2.0, dtype=torch.float64))
