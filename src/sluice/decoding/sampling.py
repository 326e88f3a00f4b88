"""Writing on: a text continued token by token, over a step function."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sluice.recurrent import State

Step = Callable[[Tensor, State | None], tuple[Tensor, State]]
"""(last tokens (N,), state) -> (log-probabilities (N, V), next state); state tensors have N as their second axis."""

COLDEST = 1e-30
"""Lower temperatures are taken as this one, by which logits can still be divided."""


class Continued(NamedTuple):
    """Continuations of a text."""

    ids: Tensor
    """(N, tokens) int64."""
    log_probabilities: Tensor
    """(N,) of each continuation, as the model has it, before temperature and cuts."""


@torch.inference_mode()
def sample(
    step: Step,
    last: Tensor,
    state: State | None,
    *,
    tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    banned: Sequence[int] = (),
    generator: torch.Generator | None = None,
) -> Continued:
    """Draws each token from what is left of the model's distribution.

    Args:
        step: the model.
        last: (N,) the last token of each text.
        state: of the model after everything before `last`.
        tokens: how many to write.
        temperature: the logits are divided by it; below 1 likelier words get likelier.
        top_k: only the k likeliest tokens.
        top_p: only the likeliest tokens that together have this probability (Holtzman et al. 2020, nucleus sampling).
        banned: ids that are never written.
        generator: of the random numbers; None for torch's own.

    Raises:
        ValueError: if the temperature is not above 0, k below 1 or p outside (0, 1].
    """
    _check(temperature, top_k, top_p)
    written, total = [], torch.zeros(len(last), device=last.device)
    for _ in range(tokens):
        model, state = step(last, state)
        left = _cut(_without(model, banned) / max(temperature, COLDEST), top_k, top_p)
        last = torch.multinomial(left.softmax(-1), 1, generator=generator).squeeze(1)
        total += model.gather(1, last.unsqueeze(1)).squeeze(1)
        written.append(last)
    return Continued(torch.stack(written, 1), total)


@torch.inference_mode()
def beam(
    step: Step, last: Tensor, state: State | None, *, tokens: int, width: int, banned: Sequence[int] = ()
) -> Continued:
    """The likeliest continuations that a beam of a width finds, the best first; with width 1 the greedy one.

    Args:
        step: the model.
        last: (1,) the last token of the text.
        state: of the model after everything before it.
        tokens: how many to write.
        width: continuations that are followed.
        banned: ids that are never written.

    Raises:
        ValueError: if the width is below 1.
    """
    if width < 1:
        raise ValueError(f"the beam must be at least 1 wide, got {width}")
    written, total = last.new_zeros(1, 0), torch.zeros(1, device=last.device)
    for _ in range(tokens):
        model, state = step(last, state)
        scores = total.unsqueeze(1) + _without(model, banned)
        total, places = scores.flatten().topk(min(width, int(scores.isfinite().sum())))
        origin, last = places // model.shape[1], places % model.shape[1]
        written = torch.cat([written[origin], last.unsqueeze(1)], 1)
        state = type(state)(*(part[:, origin] for part in state))
    return Continued(written, total)


def _check(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not temperature > 0:
        raise ValueError(f"the temperature must be above 0, got {temperature:g}: near 0 the likeliest word always wins")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top-k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top-p must lie in (0, 1], got {top_p:g}")


def _without(scores: Tensor, banned: Sequence[int]) -> Tensor:
    if not banned:
        return scores
    return scores.index_fill(1, torch.tensor(list(banned), device=scores.device), -torch.inf)


def _cut(scores: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Scores (N, V) with -inf for what is cut."""
    if top_k is not None and top_k < scores.shape[1]:
        least = scores.topk(top_k).values[:, -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    if top_p is not None and top_p < 1:
        ordered, places = scores.sort(descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        ordered = ordered.masked_fill(before >= top_p, -torch.inf)
        scores = torch.empty_like(scores).scatter_(1, places, ordered)
    return scores
