"""Word vectors from which words stand near which: skip-gram and CBOW with negative sampling."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.options import WORD2VEC_METHODS
from sluice.text.word_windows import Blocks


class Gradients(NamedTuple):
    """What a batch says of the rows it touches; an id may come more than once."""

    input_ids: Tensor
    """(n,)."""
    input_rows: Tensor
    """(n, D)."""
    output_ids: Tensor
    """(m,)."""
    output_rows: Tensor
    """(m, D)."""
    loss: Tensor
    """A scalar, summed over all pairs."""


class Word2Vec(nn.Module):
    """Two vectors a word, learned so that words that stand near each other go together and drawn words do not.

    Mikolov, Chen, Corrado & Dean (2013), arXiv 1301.3781, and Mikolov, Sutskever et al. (2013), eq. 4. With u of a word
    as input, v as output and K negative words a pair:

    skipgram  −log σ(u_centre · v_context) − K E[log σ(−u_centre · v_negative)], for each context of each centre
    cbow      the same of h · v_centre, h the mean of the u of a centre's contexts, for each centre

    The words drawn against a block of text are shared by all its pairs, each counting K / N (Ji, Satish, Li & Dubey
    2016, arXiv 1604.04661), so that everything is products of matrices.
    """

    word_parameters = ("input", "output")
    """Names of the parameters whose rows are the words of a vocabulary."""

    def __init__(
        self, *, vocab_size: int, size: int = 100, method: str = "skipgram", negatives: int = 5, seed: int = 0
    ) -> None:
        """
        Args:
            vocab_size: V.
            size: D.
            method: "skipgram" or "cbow".
            negatives: K.
            seed: of the first vectors.

        Raises:
            ValueError: for a method that doesn't exist or a size below 1.
        """
        super().__init__()
        if method not in WORD2VEC_METHODS:
            raise ValueError(f"there is no method {method!r}; there are {', '.join(WORD2VEC_METHODS)}")
        for name, value in {"size": size, "negatives": negatives}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.method, self.negatives = method, negatives
        drawn = torch.rand(vocab_size, size, generator=torch.Generator().manual_seed(seed))
        self.input = nn.Parameter((drawn - 0.5) / size)
        self.output = nn.Parameter(torch.zeros(vocab_size, size))

    @property
    def vectors(self) -> Tensor:
        """(V, D) what is kept in the end: the vectors of the words as inputs."""
        return self.input

    def backward(self, blocks: Blocks) -> Tensor:
        """Gives both tables their gradients, sparse and in place of any before; the loss, summed over all pairs."""
        found = self.gradients(blocks)
        self.input.grad = _rows(self.input, found.input_ids, found.input_rows)
        self.output.grad = _rows(self.output, found.output_ids, found.output_rows)
        return found.loss

    @torch.no_grad()
    def gradients(self, blocks: Blocks) -> Gradients:
        """Loss and gradients of a batch, worked out by hand."""
        return self._skipgram(blocks) if self.method == "skipgram" else self._cbow(blocks)

    def _skipgram(self, blocks: Blocks) -> Gradients:
        centres, contexts = F.embedding(blocks.centres, self.input), F.embedding(blocks.contexts, self.output)
        drawn = F.embedding(blocks.negatives, self.output)
        scores = torch.bmm(centres, contexts.mT)  # (B, T, T + 2W)
        of_scores = torch.sigmoid(scores).sub_(1).mul_(blocks.pair_mask)
        against, of_drawn, loss = self._against(centres, drawn, blocks.pair_mask.sum(-1, keepdim=True))
        return Gradients(
            blocks.centres.flatten(),
            torch.baddbmm(against, of_scores, contexts).flatten(0, 1),
            torch.cat([blocks.contexts.flatten(), blocks.negatives.flatten()]),
            torch.cat([torch.bmm(of_scores.mT, centres).flatten(0, 1), of_drawn.flatten(0, 1)]),
            loss + (F.softplus(-scores) * blocks.pair_mask).sum(),
        )

    def _cbow(self, blocks: Blocks) -> Gradients:
        contexts, centres = F.embedding(blocks.contexts, self.input), F.embedding(blocks.centres, self.output)
        drawn = F.embedding(blocks.negatives, self.output)
        count = blocks.pair_mask.sum(-1, keepdim=True)
        shares, there = blocks.pair_mask / count.clamp_min(1), (count > 0).float()
        means = torch.bmm(shares, contexts)  # (B, T, D)
        scores = (means * centres).sum(-1, keepdim=True)
        of_scores = (torch.sigmoid(scores) - 1) * there
        against, of_drawn, loss = self._against(means, drawn, there)
        of_means = against + of_scores * centres
        return Gradients(
            blocks.contexts.flatten(),
            torch.bmm(shares.mT, of_means).flatten(0, 1),
            torch.cat([blocks.centres.flatten(), blocks.negatives.flatten()]),
            torch.cat([(of_scores * means).flatten(0, 1), of_drawn.flatten(0, 1)]),
            loss + (F.softplus(-scores) * there).sum(),
        )

    def _against(self, vectors: Tensor, drawn: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The part of the drawn words: gradients (B, T, D) of the vectors and (B, N, D) of the drawn, and the loss.

        Args:
            vectors: (B, T, D).
            drawn: (B, N, D).
            count: (B, T, 1), pairs of each vector.
        """
        weight = count * (self.negatives / drawn.shape[1])
        scores = torch.bmm(vectors, drawn.mT)  # (B, T, N)
        of_scores = torch.sigmoid(scores).mul_(weight)
        loss = (F.softplus(scores) * weight).sum()
        return torch.bmm(of_scores, drawn), torch.bmm(of_scores.mT, vectors), loss


def _rows(table: Tensor, ids: Tensor, rows: Tensor) -> Tensor:
    """A gradient of a table with these rows, those of one id to be summed up."""
    return torch.sparse_coo_tensor(ids.unsqueeze(0), rows, table.shape, check_invariants=False)
