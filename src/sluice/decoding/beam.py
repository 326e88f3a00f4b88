"""Batched beam search.

Example:
    >>> from typing import NamedTuple
    >>> from sluice.decoding import LengthPenalty, StepOutput, beam_search
    >>> class NoState(NamedTuple):
    ...     def select(self, rows):
    ...         return self
    >>> def step(words, state):  # the same distribution over begin, end and two words at every step
    ...     return StepOutput(torch.tensor([[0.0, 0.5, 0.3, 0.2]]).log().repeat(len(words), 1), state, None)
    >>> options = {"begin_id": 0, "end_id": 1, "beam": 3, "n_best": 2, "penalty": LengthPenalty("none")}
    >>> (best,) = beam_search(step, NoState(), torch.tensor([5]), **options)
    >>> [hypothesis.words for hypothesis in best]
    [[], [2]]
"""

import torch
from torch import Tensor

from sluice.decoding.best_words import best_words
from sluice.decoding.length_penalty import LengthPenalty
from sluice.decoding.steps import Hypothesis, StateT, StepFunction


@torch.no_grad()
def beam_search(
    step: StepFunction[StateT],
    state: StateT,
    max_lengths: Tensor,
    *,
    begin_id: int,
    end_id: int,
    beam: int,
    n_best: int,
    penalty: LengthPenalty,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """Returns the best hypotheses of each sentence, sorted by decreasing score.

    Every step keeps the most probable continuations of a sentence's live hypotheses. A finished hypothesis reduces its
    sentence's beam size by one. A sentence leaves the batch once no live hypothesis can enter its `n_best`. With a
    beam of 1 this is greedy search.

    Args:
        step: the model.
        state: the model's state before the first word, for B sentences.
        max_lengths: (B,) int64 on the CPU, maximum number of words of each sentence.
        begin_id: id of the begin-of-sentence token.
        end_id: id of the end-of-sentence token.
        beam: beam size.
        n_best: hypotheses to return for each sentence, at most `beam`.
        penalty: the length penalty.
        device: the model's device.

    Returns:
        Up to `n_best` hypotheses for each sentence; fewer only if fewer exist.
    """
    live = _LiveHypotheses(max_lengths.to(device), begin_id, beam)
    ended: list[list[Hypothesis]] = [[] for _ in max_lengths]
    for length in range(int(max_lengths.max()) + 1):
        output = step(live.words[:, -1], state)
        ending = live.max_lengths[live.sentences] == length
        live.grow(*best_words(output.logits, min(beam, output.logits.shape[1]), ending, end_id), output.weights)
        for sentence, hypothesis in live.take_ended(end_id, penalty):
            ended[sentence].append(hypothesis)
        live.drop_decided(ended, n_best, penalty)
        if not len(live.parents):
            break
        state = output.state.select(live.parents)
    return [sorted(found, key=lambda hypothesis: -hypothesis.score)[:n_best] for found in ended]


class _LiveHypotheses:
    """The live hypotheses of all sentences, one per row, sorted by sentence and decreasing probability."""

    def __init__(self, max_lengths: Tensor, begin_id: int, beam: int) -> None:
        device = max_lengths.device
        self.max_lengths, self.beam = max_lengths, beam
        self.open_slots = torch.full_like(max_lengths, beam)
        """(B,), each sentence's beam size minus its finished hypotheses."""
        self.sentences = torch.arange(len(max_lengths), device=device)
        """(R,), the sentence of each row."""
        self.parents = self.sentences
        """(R,), the row of the previous step that each row continues."""
        self.words = torch.full((len(max_lengths), 1), begin_id, device=device)
        """(R, t + 1), including the begin-of-sentence token."""
        self.totals = torch.zeros(len(max_lengths), device=device)
        """(R,), log-probabilities of the hypotheses."""
        self.weights: Tensor | None = None
        """(R, t, S), attention weights."""

    def grow(self, log_probabilities: Tensor, words: Tensor, weights: Tensor | None) -> None:
        """Replaces the rows by each sentence's most probable continuations, up to its number of open slots.

        Args:
            log_probabilities: (R, W), of the most probable next words.
            words: (R, W), ids of these words.
            weights: (R, S), attention weights of this step, or None.
        """
        width, scores = words.shape[1], log_probabilities + self.totals.unsqueeze(1)
        sentences, counts = self.sentences.unique_consecutive(return_counts=True)
        starts = counts.cumsum(0) - counts
        groups = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
        slots = torch.arange(len(groups), device=counts.device) - starts[groups]
        candidate_scores = scores.new_full((len(counts), int(counts.max()), width), float("-inf"))
        candidate_scores[groups, slots] = scores
        best, candidates = candidate_scores.flatten(1).topk(min(self.beam, candidate_scores[0].numel()))
        ranks = torch.arange(best.shape[1], device=best.device)
        kept = (ranks < self.open_slots[sentences].unsqueeze(1)) & (best > float("-inf"))
        self.parents = (starts.unsqueeze(1) + candidates // width)[kept]
        self.totals = best[kept]
        self.sentences = sentences.unsqueeze(1).expand_as(best)[kept]
        added = words[self.parents, (candidates % width)[kept]]
        self.words = torch.cat([self.words[self.parents], added.unsqueeze(1)], 1)
        if weights is not None:
            history = (
                weights.unsqueeze(1) if self.weights is None else torch.cat([self.weights, weights.unsqueeze(1)], 1)
            )
            self.weights = history[self.parents]

    def take_ended(self, end_id: int, penalty: LengthPenalty) -> list[tuple[int, Hypothesis]]:
        """Removes the rows that have just ended and returns their sentences and hypotheses."""
        ended = self.words[:, -1] == end_id
        rows = ended.nonzero().squeeze(1).tolist()
        taken = [(int(self.sentences[row]), self._finished(row, penalty)) for row in rows]
        self.open_slots -= torch.bincount(self.sentences[ended], minlength=len(self.open_slots))
        self._keep_rows(~ended)
        return taken

    def drop_decided(self, ended: list[list[Hypothesis]], n_best: int, penalty: LengthPenalty) -> None:
        """Drops the sentences whose live hypotheses can no longer enter their `n_best`.

        Args:
            ended: finished hypotheses of each sentence.
            n_best: hypotheses to return for each sentence.
            penalty: the length penalty.
        """
        decided = torch.zeros_like(self.open_slots, dtype=torch.bool)
        heads, counts = self.sentences.unique_consecutive(return_counts=True)
        starts = counts.cumsum(0) - counts
        for sentence, total in zip(heads.tolist(), self.totals[starts].tolist(), strict=True):
            if len(ended[sentence]) >= n_best:
                worst = sorted((hypothesis.score for hypothesis in ended[sentence]), reverse=True)[n_best - 1]
                decided[sentence] = penalty.bound(total, int(self.max_lengths[sentence]) + 1) <= worst
        if decided.any():
            self._keep_rows(~decided[self.sentences])

    def _finished(self, row: int, penalty: LengthPenalty) -> Hypothesis:
        total, words = float(self.totals[row]), self.words[row, 1:-1].tolist()
        weights = None if self.weights is None else self.weights[row].cpu()
        return Hypothesis(words, penalty.score(total, len(words) + 1), total, weights)

    def _keep_rows(self, rows: Tensor) -> None:
        self.sentences, self.parents = self.sentences[rows], self.parents[rows]
        self.words, self.totals = self.words[rows], self.totals[rows]
        self.weights = None if self.weights is None else self.weights[rows]
