"""Which search, by its settings."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sluice.decoding.beam import beam_search
from sluice.decoding.greedy import greedy_search
from sluice.decoding.length_penalty import LengthPenalty
from sluice.decoding.steps import Hypothesis, StateT, StepFunction


@dataclass(frozen=True, kw_only=True)
class DecodingSettings:
    """How sentences are searched for."""

    beam: int = 1
    """Hypotheses a sentence; 1 is greedy."""
    n_best: int = 1
    """Sentences wanted of each source."""
    length_penalty: str = "average"
    """"none", "average" or "gnmt"."""
    alpha: float = 1.0
    """Of the length penalty."""
    max_length_factor: float = 1.5
    max_length_offset: int = 10
    """A sentence has at most `max_length_factor` times as many words as its source, and `max_length_offset` more."""

    seed: int | None = None
    """None searches for probable sentences; a number draws every word by its probability, the same ones each time."""

    @property
    def penalty(self) -> LengthPenalty:
        return LengthPenalty(self.length_penalty, self.alpha)

    def check(self) -> None:
        """
        Raises:
            ValueError: for a beam or number of sentences below 1, more sentences than the beam holds, a beam where
                words are drawn, lengths that leave no word, or what the length penalty refuses.
        """
        if self.beam < 1:
            raise ValueError(f"beam must be at least 1, got {self.beam}; 1 is greedy search")
        if not 1 <= self.n_best <= self.beam:
            raise ValueError(f"n_best={self.n_best} must lie between 1 and the beam, {self.beam}: widen the beam")
        if self.seed is not None and self.beam > 1:
            raise ValueError(f"words are drawn for one sentence at a time, not with beam={self.beam}: set it to 1")
        if self.max_length_factor < 0 or self.max_length_offset < 1:
            raise ValueError(
                "max_length_factor must be at least 0 and max_length_offset at least 1, "
                f"got {self.max_length_factor} and {self.max_length_offset}"
            )
        self.penalty.check()

    def longest(self, source_lengths: Tensor) -> Tensor:
        """(B,) most words of each translation from the lengths (B,) of the sources."""
        return (source_lengths * self.max_length_factor).long() + self.max_length_offset


def search(
    step: StepFunction[StateT],
    state: StateT,
    source_lengths: Tensor,
    settings: DecodingSettings,
    *,
    begin_id: int,
    end_id: int,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """The best sentences for each row of `state`, the best first; word after word where the beam is 1.

    Args:
        step: the model.
        state: its state before the first word, for B sentences.
        source_lengths: (B,) int64 on the CPU.
        settings: how to search.
        begin_id: of the mark that every sentence begins with.
        end_id: of the mark that ends it.
        device: where the model runs.

    Raises:
        ValueError: if the settings are none.
    """
    settings.check()
    longest, penalty = settings.longest(source_lengths), settings.penalty
    marks = {"begin_id": begin_id, "end_id": end_id}
    if settings.beam == 1:
        draws = None if settings.seed is None else torch.Generator().manual_seed(settings.seed)
        found = greedy_search(step, state, longest, **marks, penalty=penalty, device=device, draws=draws)
        return [[hypothesis] for hypothesis in found]
    width = {"beam": settings.beam, "n_best": settings.n_best}
    return beam_search(step, state, longest, **marks, **width, penalty=penalty, device=device)
