"""Word vectors: skip-gram and CBOW with negative sampling."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.options import WORD2VEC_METHODS
from sluice.text.word_windows import Blocks


class Gradients(NamedTuple):
    """Gradients of the rows of both tables that occur in a batch; ids may repeat."""

    input_ids: Tensor
    """(n,)."""
    input_rows: Tensor
    """(n, D)."""
    output_ids: Tensor
    """(m,)."""
    output_rows: Tensor
    """(m, D)."""
    loss: Tensor
    """Scalar, summed over all pairs."""


class Word2Vec(nn.Module):
    """An input vector u and an output vector v per word, trained with negative sampling.

    Mikolov, Chen, Corrado & Dean (2013), arXiv 1301.3781, and Mikolov, Sutskever et al. (2013), eq. 4. With K negative
    words per pair:

    skipgram  −log σ(u_centre · v_context) − K E[log σ(−u_centre · v_negative)], for each context of each centre
    cbow      the same with h · v_centre, h the mean of the input vectors of the contexts, for each centre

    All pairs of a block of text share N negative words, each with weight K / N (Ji, Satish, Li & Dubey 2016, arXiv
    1604.04661), so that the loss is computed by matrix products.
    """

    word_parameters = ("input", "output")
    """Names of the parameters that have one row per vocabulary word."""

    def __init__(
        self, *, vocab_size: int, size: int = 100, method: str = "skipgram", negatives: int = 5, seed: int = 0
    ) -> None:
        """
        Args:
            vocab_size: V, number of words.
            size: D, size of the vectors.
            method: "skipgram" or "cbow".
            negatives: K, negative words per pair.
            seed: seed of the initial vectors.

        Raises:
            ValueError: for an unknown method, or a size or number of negatives below 1.
        """
        super().__init__()
        if method not in WORD2VEC_METHODS:
            raise ValueError(f"unknown method {method!r}: expected one of {', '.join(WORD2VEC_METHODS)}")
        for name, value in {"size": size, "negatives": negatives}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.method, self.negatives = method, negatives
        drawn = torch.rand(vocab_size, size, generator=torch.Generator().manual_seed(seed))
        self.input = nn.Parameter((drawn - 0.5) / size)
        self.output = nn.Parameter(torch.zeros(vocab_size, size))

    @property
    def vectors(self) -> Tensor:
        """(V, D), the word vectors: the input vectors."""
        return self.input

    def backward(self, blocks: Blocks) -> Tensor:
        """Sets the sparse gradients of both tables and returns the loss, summed over all pairs."""
        gradients = self.gradients(blocks)
        self.input.grad = _rows(self.input, gradients.input_ids, gradients.input_rows)
        self.output.grad = _rows(self.output, gradients.output_ids, gradients.output_rows)
        return gradients.loss

    @torch.no_grad()
    def gradients(self, blocks: Blocks) -> Gradients:
        """Returns the loss and the explicit gradients of a batch."""
        return self._skipgram(blocks) if self.method == "skipgram" else self._cbow(blocks)

    def _skipgram(self, blocks: Blocks) -> Gradients:
        centres, contexts = F.embedding(blocks.centres, self.input), F.embedding(blocks.contexts, self.output)
        negatives = F.embedding(blocks.negatives, self.output)
        scores = torch.bmm(centres, contexts.mT)  # (B, T, T + 2W)
        grad_scores = torch.sigmoid(scores).sub_(1).mul_(blocks.pair_mask)
        grad_vectors, grad_negatives, loss = self._negative_loss(
            centres, negatives, blocks.pair_mask.sum(-1, keepdim=True)
        )
        return Gradients(
            blocks.centres.flatten(),
            torch.baddbmm(grad_vectors, grad_scores, contexts).flatten(0, 1),
            torch.cat([blocks.contexts.flatten(), blocks.negatives.flatten()]),
            torch.cat([torch.bmm(grad_scores.mT, centres).flatten(0, 1), grad_negatives.flatten(0, 1)]),
            loss + (F.softplus(-scores) * blocks.pair_mask).sum(),
        )

    def _cbow(self, blocks: Blocks) -> Gradients:
        contexts, centres = F.embedding(blocks.contexts, self.input), F.embedding(blocks.centres, self.output)
        negatives = F.embedding(blocks.negatives, self.output)
        count = blocks.pair_mask.sum(-1, keepdim=True)
        weights, has_context = blocks.pair_mask / count.clamp_min(1), (count > 0).float()
        means = torch.bmm(weights, contexts)  # (B, T, D)
        scores = (means * centres).sum(-1, keepdim=True)
        grad_scores = (torch.sigmoid(scores) - 1) * has_context
        grad_vectors, grad_negatives, loss = self._negative_loss(means, negatives, has_context)
        grad_means = grad_vectors + grad_scores * centres
        return Gradients(
            blocks.contexts.flatten(),
            torch.bmm(weights.mT, grad_means).flatten(0, 1),
            torch.cat([blocks.centres.flatten(), blocks.negatives.flatten()]),
            torch.cat([(grad_scores * means).flatten(0, 1), grad_negatives.flatten(0, 1)]),
            loss + (F.softplus(-scores) * has_context).sum(),
        )

    def _negative_loss(self, vectors: Tensor, negatives: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Computes the loss of the negative words and its gradients.

        Args:
            vectors: (B, T, D), input vectors or means of them.
            negatives: (B, N, D), output vectors of the negative words.
            count: (B, T, 1), number of pairs of each vector.

        Returns:
            Gradients (B, T, D) of `vectors` and (B, N, D) of `negatives`, and the loss.
        """
        weight = count * (self.negatives / negatives.shape[1])
        scores = torch.bmm(vectors, negatives.mT)  # (B, T, N)
        grad_scores = torch.sigmoid(scores).mul_(weight)
        loss = (F.softplus(scores) * weight).sum()
        return torch.bmm(grad_scores, negatives), torch.bmm(grad_scores.mT, vectors), loss


def _rows(table: Tensor, ids: Tensor, rows: Tensor) -> Tensor:
    """Returns the sparse gradient of a table; rows of equal ids are summed."""
    return torch.sparse_coo_tensor(ids.unsqueeze(0), rows, table.shape, check_invariants=False)
