"""Greedy search and sampling, one word at a time."""

import torch
from torch import Tensor

from sluice.decoding.best_words import best_words
from sluice.decoding.length_penalty import LengthPenalty
from sluice.decoding.steps import Hypothesis, StateT, StepFunction


@torch.no_grad()
def greedy_search(
    step: StepFunction[StateT],
    state: StateT,
    max_lengths: Tensor,
    *,
    begin_id: int,
    end_id: int,
    penalty: LengthPenalty,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> list[Hypothesis]:
    """Generates a sentence for each row and returns them in order; finished sentences leave the batch.

    Args:
        step: the model.
        state: the model's state before the first word, for B rows.
        max_lengths: (B,) int64 on the CPU, maximum number of words of each sentence.
        begin_id: id of the begin-of-sentence token.
        end_id: id of the end-of-sentence token.
        penalty: the length penalty of the reported scores.
        device: the model's device.
        generator: samples every word with this CPU generator; None takes the most probable word.
    """
    found = [_PartialHypothesis() for _ in max_lengths]
    active, words = list(found), torch.full((len(found),), begin_id, device=device)
    for length in range(int(max_lengths.max()) + 1):
        output = step(words, state)
        ending = (max_lengths == length).to(device)
        if generator is None:
            scores, words = (best.squeeze(1) for best in best_words(output.logits, 1, ending, end_id))
        else:
            scores, words = _sample(output.logits, generator, ending, end_id)
        step_weights = [None] * len(active) if output.weights is None else output.weights.cpu().unbind(0)
        for sentence, word, score, weights in zip(active, words.tolist(), scores.tolist(), step_weights, strict=True):
            sentence.add(word, score, weights)
        unfinished = (words != end_id).nonzero().squeeze(1)
        if len(unfinished) == 0:
            break
        state = output.state
        if len(unfinished) < len(words):
            rows = unfinished.tolist()
            active, max_lengths = [active[row] for row in rows], max_lengths[unfinished.cpu()]
            words, state = words[unfinished], state.select(unfinished)
    return [sentence.finish(penalty) for sentence in found]


def _sample(logits: Tensor, generator: torch.Generator, ending: Tensor, end_id: int) -> tuple[Tensor, Tensor]:
    """Samples a word of each row, the end in the rows `ending`; returns log-probabilities and ids (R,)."""
    log_probabilities = logits.float().log_softmax(-1)
    words = torch.multinomial(log_probabilities.exp().cpu(), 1, generator=generator).to(logits.device)
    words = words.masked_fill(ending.unsqueeze(1), end_id)
    return log_probabilities.gather(1, words).squeeze(1), words.squeeze(1)


class _PartialHypothesis:
    """A hypothesis under construction."""

    def __init__(self) -> None:
        self.words: list[int] = []
        self.weights: list[Tensor] = []
        self.total = 0.0

    def add(self, word: int, score: float, weights: Tensor | None) -> None:
        self.words.append(word)
        self.total += score
        if weights is not None:
            self.weights.append(weights)

    def finish(self, penalty: LengthPenalty) -> Hypothesis:
        score = penalty.score(self.total, len(self.words))
        return Hypothesis(self.words[:-1], score, self.total, torch.stack(self.weights) if self.weights else None)
