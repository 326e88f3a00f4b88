"""A word after the other: the most probable one, or one that is drawn."""

import torch
from torch import Tensor

from sluice.decoding.length_penalty import LengthPenalty
from sluice.decoding.steps import Hypothesis, StateT, StepFunction, end_where


@torch.no_grad()
def greedy_search(
    step: StepFunction[StateT],
    state: StateT,
    longest: Tensor,
    *,
    begin_id: int,
    end_id: int,
    penalty: LengthPenalty,
    device: torch.device | str = "cpu",
    draws: torch.Generator | None = None,
) -> list[Hypothesis]:
    """Writes one sentence for each row; those that have ended leave the batch.

    Args:
        step: the model.
        state: its state before the first word, for B rows.
        longest: (B,) int64 on the CPU, most words of each sentence.
        begin_id: of the mark that every sentence begins with.
        end_id: of the mark that ends it.
        penalty: of the score that is told.
        device: where the model runs.
        draws: on the CPU, draws every word by its probability; None takes the most probable one.
    """
    found = [_Writing() for _ in longest]
    alive, words = list(found), torch.full((len(found),), begin_id, device=device)
    for place in range(int(longest.max()) + 1):
        made = step(words, state)
        end_where(made.log_probabilities, (longest == place).to(device), end_id)
        gains, words = made.log_probabilities.max(-1) if draws is None else _drawn(made.log_probabilities, draws)
        looked = [None] * len(alive) if made.weights is None else made.weights.cpu().unbind(0)
        for sentence, word, gain, weights in zip(alive, words.tolist(), gains.tolist(), looked, strict=True):
            sentence.add(word, gain, weights)
        goes_on = (words != end_id).nonzero().squeeze(1)
        if len(goes_on) == 0:
            break
        state = made.state
        if len(goes_on) < len(words):
            rows = goes_on.tolist()
            alive, longest = [alive[row] for row in rows], longest[goes_on.cpu()]
            words, state = words[goes_on], state.select(goes_on)
    return [sentence.finish(penalty) for sentence in found]


def _drawn(log_probabilities: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    words = torch.multinomial(log_probabilities.exp().cpu(), 1, generator=draws).to(log_probabilities.device)
    return log_probabilities.gather(1, words).squeeze(1), words.squeeze(1)


class _Writing:
    """A sentence that grows."""

    def __init__(self) -> None:
        self.words: list[int] = []
        self.weights: list[Tensor] = []
        self.total = 0.0

    def add(self, word: int, gain: float, weights: Tensor | None) -> None:
        self.words.append(word)
        self.total += gain
        if weights is not None:
            self.weights.append(weights)

    def finish(self, penalty: LengthPenalty) -> Hypothesis:
        score = penalty.score(self.total, len(self.words))
        return Hypothesis(self.words[:-1], score, self.total, torch.stack(self.weights) if self.weights else None)
