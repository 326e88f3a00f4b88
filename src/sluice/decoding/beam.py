"""Beam search over many sentences at once."""

import torch
from torch import Tensor

from sluice.decoding.length_penalty import LengthPenalty
from sluice.decoding.steps import Hypothesis, StateT, StepFunction, end_where


@torch.no_grad()
def beam_search(
    step: StepFunction[StateT],
    state: StateT,
    longest: Tensor,
    *,
    begin_id: int,
    end_id: int,
    beam: int,
    n_best: int,
    penalty: LengthPenalty,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """The best sentences that a beam finds for each row of `state`, the best first.

    Every step keeps, of all continuations of a sentence's live hypotheses, the most probable ones; a hypothesis that
    ends takes its place out of the beam. A sentence leaves the batch once nothing in its beam can, whatever it goes
    on with, enter its `n_best`. With a beam of 1 this is greedy search.

    Args:
        step: the model.
        state: its state before the first word, for B sentences.
        longest: (B,) int64 on the CPU, most words of each sentence.
        begin_id: of the mark that every sentence begins with.
        end_id: of the mark that ends it.
        beam: hypotheses a sentence.
        n_best: sentences wanted of each, at most `beam`.
        penalty: how hypotheses of different lengths are compared.
        device: where the model runs.

    Returns:
        Up to `n_best` hypotheses for each sentence; fewer only where there are no more.
    """
    live = _Live(longest.to(device), begin_id, beam)
    ended: list[list[Hypothesis]] = [[] for _ in longest]
    for place in range(int(longest.max()) + 1):
        made = step(live.words[:, -1], state)
        end_where(made.log_probabilities, live.longest[live.sentences] == place, end_id)
        live.grow(made.log_probabilities, made.weights)
        for sentence, hypothesis in live.take_ended(end_id, penalty):
            ended[sentence].append(hypothesis)
        live.drop_decided(ended, n_best, penalty)
        if not len(live.parents):
            break
        state = made.state.select(live.parents)
    return [sorted(found, key=lambda hypothesis: -hypothesis.score)[:n_best] for found in ended]


class _Live:
    """The live hypotheses of all sentences, a row each; those of a sentence side by side, the most probable first."""

    def __init__(self, longest: Tensor, begin_id: int, beam: int) -> None:
        device = longest.device
        self.longest, self.beam = longest, beam
        self.room = torch.full_like(longest, beam)
        """(B,), places in each sentence's beam that no ended hypothesis has taken."""
        self.sentences = torch.arange(len(longest), device=device)
        """(R,), whose hypothesis each row is."""
        self.parents = self.sentences
        """(R,), the row of the step before that each row goes on with."""
        self.words = torch.full((len(longest), 1), begin_id, device=device)
        """(R, t + 1), with the mark of the begin."""
        self.totals = torch.zeros(len(longest), device=device)
        """(R,), log-probabilities."""
        self.weights: Tensor | None = None
        """(R, t, S)."""

    def grow(self, log_probabilities: Tensor, weights: Tensor | None) -> None:
        """Replaces the rows by their most probable continuations, as many a sentence as it has room for.

        Args:
            log_probabilities: (R, V) of the next word.
            weights: (R, S) of this step, or None.
        """
        width = min(self.beam, log_probabilities.shape[1])
        gains, words = (log_probabilities + self.totals.unsqueeze(1)).topk(width)
        sentences, counts = self.sentences.unique_consecutive(return_counts=True)
        starts = counts.cumsum(0) - counts
        own = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
        slots = torch.arange(len(own), device=counts.device) - starts[own]
        grid = gains.new_full((len(counts), int(counts.max()), width), float("-inf"))
        grid[own, slots] = gains
        best, places = grid.flatten(1).topk(min(self.beam, grid[0].numel()))
        ranks = torch.arange(best.shape[1], device=best.device)
        fits = (ranks < self.room[sentences].unsqueeze(1)) & (best > float("-inf"))
        self.parents = (starts.unsqueeze(1) + places // width)[fits]
        self.totals = best[fits]
        self.sentences = sentences.unsqueeze(1).expand_as(best)[fits]
        added = words[self.parents, (places % width)[fits]]
        self.words = torch.cat([self.words[self.parents], added.unsqueeze(1)], 1)
        if weights is not None:
            seen = weights.unsqueeze(1) if self.weights is None else torch.cat([self.weights, weights.unsqueeze(1)], 1)
            self.weights = seen[self.parents]

    def take_ended(self, end_id: int, penalty: LengthPenalty) -> list[tuple[int, Hypothesis]]:
        """Takes the rows that have just ended out of their beams: sentences and their hypotheses."""
        ended = self.words[:, -1] == end_id
        rows = ended.nonzero().squeeze(1).tolist()
        taken = [(int(self.sentences[row]), self._finished(row, penalty)) for row in rows]
        self.room -= torch.bincount(self.sentences[ended], minlength=len(self.room))
        self._keep(~ended)
        return taken

    def drop_decided(self, ended: list[list[Hypothesis]], n_best: int, penalty: LengthPenalty) -> None:
        """Drops the sentences of which no live hypothesis can enter the `n_best` any more."""
        decided = torch.zeros_like(self.room, dtype=torch.bool)
        heads, counts = self.sentences.unique_consecutive(return_counts=True)
        starts = counts.cumsum(0) - counts
        for sentence, total in zip(heads.tolist(), self.totals[starts].tolist(), strict=True):
            if len(ended[sentence]) >= n_best:
                worst = sorted((hypothesis.score for hypothesis in ended[sentence]), reverse=True)[n_best - 1]
                decided[sentence] = penalty.bound(total, int(self.longest[sentence]) + 1) <= worst
        if decided.any():
            self._keep(~decided[self.sentences])

    def _finished(self, row: int, penalty: LengthPenalty) -> Hypothesis:
        total, words = float(self.totals[row]), self.words[row, 1:-1].tolist()
        weights = None if self.weights is None else self.weights[row].cpu()
        return Hypothesis(words, penalty.score(total, len(words) + 1), total, weights)

    def _keep(self, rows: Tensor) -> None:
        self.sentences, self.parents = self.sentences[rows], self.parents[rows]
        self.words, self.totals = self.words[rows], self.totals[rows]
        self.weights = None if self.weights is None else self.weights[rows]
