"""Decoding with greedy search, beam search or sampling, chosen by settings."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sluice.decoding.beam import beam_search
from sluice.decoding.greedy import greedy_search
from sluice.decoding.length_penalty import LengthPenalty
from sluice.decoding.steps import Hypothesis, StateT, StepFunction


@dataclass(frozen=True, kw_only=True)
class DecodingSettings:
    """Settings of `decode`."""

    beam: int = 1
    """Beam size; 1 is greedy search."""
    n_best: int = 1
    """Hypotheses to return for each source."""
    length_penalty: str = "average"
    """"none", "average" or "gnmt", see LengthPenalty."""
    alpha: float = 1.0
    """Exponent of the length penalty."""
    max_length_factor: float = 1.5
    """Maximum number of words is source length · `max_length_factor` + `max_length_offset`."""
    max_length_offset: int = 10
    """See `max_length_factor`."""
    seed: int | torch.Generator | None = None
    """None searches for the most probable sentences; a seed, or a CPU generator for several calls, samples words."""

    @property
    def penalty(self) -> LengthPenalty:
        """The length penalty."""
        return LengthPenalty(self.length_penalty, self.alpha)

    def check(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: for a beam or `n_best` below 1, `n_best` above the beam, sampling with a beam above 1, an
                invalid maximum length, or an invalid length penalty.
        """
        if self.beam < 1:
            raise ValueError(f"beam must be at least 1, got {self.beam}; 1 is greedy search")
        if not 1 <= self.n_best <= self.beam:
            raise ValueError(f"n_best={self.n_best} must lie between 1 and the beam, {self.beam}: increase the beam")
        if self.seed is not None and self.beam > 1:
            raise ValueError(f"sampling with a seed needs beam=1, got beam={self.beam}")
        if self.max_length_factor < 0 or self.max_length_offset < 1:
            raise ValueError(
                "max_length_factor must be at least 0 and max_length_offset at least 1, "
                f"got {self.max_length_factor} and {self.max_length_offset}"
            )
        self.penalty.check()

    def max_lengths(self, source_lengths: Tensor) -> Tensor:
        """Returns the maximum number of words (B,) for sources of lengths (B,)."""
        return (source_lengths * self.max_length_factor).long() + self.max_length_offset


def generator_of(seed: int | torch.Generator | None) -> torch.Generator | None:
    """Returns a new CPU generator with a seed; a generator, or None, unchanged."""
    return seed if seed is None or isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)


def decode(
    step: StepFunction[StateT],
    state: StateT,
    source_lengths: Tensor,
    settings: DecodingSettings,
    *,
    begin_id: int,
    end_id: int,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """Returns the best hypotheses of each sentence, sorted by decreasing score.

    Args:
        step: the model.
        state: the model's state before the first word, for B sentences.
        source_lengths: (B,) int64 on the CPU.
        settings: search, sampling and length penalty.
        begin_id: id of the begin-of-sentence token.
        end_id: id of the end-of-sentence token.
        device: the model's device.

    Raises:
        ValueError: if the settings are invalid.
    """
    settings.check()
    max_lengths, penalty = settings.max_lengths(source_lengths), settings.penalty
    marks = {"begin_id": begin_id, "end_id": end_id}
    if settings.beam == 1:
        generator = generator_of(settings.seed)
        found = greedy_search(step, state, max_lengths, **marks, penalty=penalty, device=device, generator=generator)
        return [[hypothesis] for hypothesis in found]
    width = {"beam": settings.beam, "n_best": settings.n_best}
    return beam_search(step, state, max_lengths, **marks, **width, penalty=penalty, device=device)
