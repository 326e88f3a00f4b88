"""Continuing texts token by token with a language model."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from sluice.recurrent import StackState
from sluice.recurrent.states import map_state

LanguageModelStep = Callable[[Tensor, StackState | None], tuple[Tensor, StackState]]
"""(last tokens (N,), state) -> (log-probabilities (N, V), next state); states as in StackOutput."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-30, 1e30
"""Other temperatures are clamped to this range, in which float32 can represent the scaled logits."""


class Continuations(NamedTuple):
    """Continuations of texts."""

    ids: Tensor
    """(N, tokens) int64."""
    log_probabilities: Tensor
    """(N,), under the model, without temperature and filters."""


@torch.inference_mode()
def sample(
    step: LanguageModelStep,
    last: Tensor,
    state: StackState | None,
    *,
    tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    banned: Sequence[int] = (),
    generator: torch.Generator | None = None,
) -> Continuations:
    """Samples continuations.

    Example:
        >>> def step(last, state):  # the same distribution over three tokens at every step
        ...     return torch.tensor([[0.1, 0.3, 0.6]]).log().repeat(len(last), 1), state
        >>> sample(step, torch.tensor([0, 1]), None, tokens=4, top_k=1).ids.tolist()
        [[2, 2, 2, 2], [2, 2, 2, 2]]

    Args:
        step: the model.
        last: (N,), the last token of each text.
        state: the model's state before `last`.
        tokens: number of tokens to generate.
        temperature: divides the logits; values below 1 sharpen the distribution.
        top_k: samples only from the k most probable tokens.
        top_p: nucleus sampling (Holtzman et al. 2020): samples only from the most probable tokens that together have
            this probability.
        banned: ids that are never generated.
        generator: random number generator; None for torch's default.

    Raises:
        ValueError: if the temperature is not above 0, `top_k` is below 1 or `top_p` outside (0, 1].
    """
    check_sampling(temperature, top_k, top_p)
    ids, total = [], torch.zeros(len(last), device=last.device)
    for _ in range(tokens):
        model, state = step(last, state)
        filtered = _filter(_ban(model, banned) / min(max(temperature, MIN_TEMPERATURE), MAX_TEMPERATURE), top_k, top_p)
        last = torch.multinomial(filtered.softmax(-1), 1, generator=generator).squeeze(1)
        total += model.gather(1, last.unsqueeze(1)).squeeze(1)
        ids.append(last)
    return Continuations(torch.stack(ids, 1), total)


@torch.inference_mode()
def fixed_length_beam_search(
    step: LanguageModelStep,
    last: Tensor,
    state: StackState | None,
    *,
    tokens: int,
    width: int,
    banned: Sequence[int] = (),
) -> Continuations:
    """Beam search for continuations of one text with a fixed number of tokens; a width of 1 is greedy search.

    Args:
        step: the model.
        last: (1,), the last token of the text.
        state: the model's state before `last`.
        tokens: number of tokens to generate.
        width: beam size.
        banned: ids that are never generated.

    Returns:
        Up to `width` continuations, sorted by decreasing probability.

    Raises:
        ValueError: if the width is below 1.
    """
    if width < 1:
        raise ValueError(f"the beam size must be at least 1, got {width}")
    ids, total = last.new_zeros(1, 0), torch.zeros(1, device=last.device)
    for _ in range(tokens):
        model, state = step(last, state)
        scores = total.unsqueeze(1) + _ban(model, banned)
        total, positions = scores.flatten().topk(min(width, int(scores.isfinite().sum())))
        origin, last = positions // model.shape[1], positions % model.shape[1]
        ids = torch.cat([ids[origin], last.unsqueeze(1)], 1)
        state = map_state(partial(torch.index_select, dim=1, index=origin), state)
    return Continuations(ids, total)


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Checks the options of sampling.

    Args:
        temperature: divides the logits.
        top_k: number of most probable tokens; None for all.
        top_p: total probability of the most probable tokens; None for all.

    Raises:
        ValueError: if the temperature is not above 0 and finite, `top_k` is below 1 or `top_p` outside (0, 1].
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"the temperature must be above 0 and finite, got {temperature:g}; values near 0 are greedy")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top-k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top-p must lie in (0, 1], got {top_p:g}")


def _ban(scores: Tensor, banned: Sequence[int]) -> Tensor:
    if not banned:
        return scores
    return scores.index_fill(1, torch.tensor(list(banned), device=scores.device), -torch.inf)


def _filter(scores: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Returns scores (N, V) with -inf for tokens excluded by `top_k` or `top_p`."""
    if top_k is not None and top_k < scores.shape[1]:
        threshold = scores.topk(top_k).values[:, -1:]
        scores = scores.masked_fill(scores < threshold, -torch.inf)
    if top_p is not None and top_p < 1:
        ordered, positions = scores.sort(descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        excluded = before >= top_p
        excluded[:, 0] = False  # rounding may leave more than a tiny top_p before the most probable token
        ordered = ordered.masked_fill(excluded, -torch.inf)
        scores = torch.empty_like(scores).scatter_(1, positions, ordered)
    return scores
