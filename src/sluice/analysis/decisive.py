"""The symbols of a text on which the answer of a classifier depends most."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_REPLACEMENTS = 4
"""Maximum number of symbols by which each symbol is replaced."""
MAX_TOKENS = 200_000
"""Above this number of tokens read in total, fewer replacements are made."""
MAX_LENGTH = 600
"""Length of a text above which effects are not computed."""
BATCH_TOKENS = 8_192
DECISIVE_FRACTION, MAX_DECISIVE = 1 / 3, 8
"""Effect of a decisive symbol as a fraction of the largest effect, and the maximum number of decisive symbols."""


@torch.no_grad()
def symbol_effects(logits: Callable[[Tensor], Tensor], ids: Tensor) -> NDArray[np.float32] | None:
    """Effect of each symbol on the answer of a classifier: how much its replacement lowers the answer's log-odds.

    Each symbol is replaced by the most frequent other symbols of the text, one at a time; its effect is the median over
    them. The answer is the class predicted for the unchanged text.

    Args:
        logits: maps ids (B, T) to logits (B, K).
        ids: (T,) int64.

    Returns:
        (T,) effects; None if the text has more than MAX_LENGTH symbols or no two different ones.

    Example:
        >>> import torch
        >>> from sluice.analysis import decisive_symbols, symbol_effects
        >>> weights = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 5.0], [0.0, 0.0]])  # symbol 2 indicates class 1
        >>> effects = symbol_effects(lambda ids: weights[ids].sum(1), torch.tensor([0, 1, 2, 3, 0]))
        >>> effects
        array([0., 0., 5., 0., 0.], dtype=float32)
        >>> decisive_symbols(effects)
        [2]
    """
    if len(ids) > MAX_LENGTH or len(ids.unique()) < 2:
        return None
    length = len(ids)
    count = min(MAX_REPLACEMENTS, max(1, MAX_TOKENS // length**2))
    answer = int(logits(ids.unsqueeze(0))[0].argmax())
    unchanged = _log_odds(logits(ids.unsqueeze(0)), answer)
    effects = []
    for symbol, _ in Counter(ids.tolist()).most_common(count + 1):
        replaced = ids.repeat(length, 1).fill_diagonal_(symbol)
        batches = replaced.split(max(1, BATCH_TOKENS // length))
        lowered = unchanged - torch.cat([_log_odds(logits(batch), answer) for batch in batches])
        effects.append(torch.where(ids == symbol, torch.nan, lowered.cpu()))
    median: NDArray[np.float32] = torch.stack(effects).nanmedian(0).values.float().numpy()
    return median


def decisive_symbols(effects: NDArray[np.float32] | None) -> list[int]:
    """Positions of the symbols with the largest effects, in the order of the text.

    Args:
        effects: (T,), see `symbol_effects`; None for no decisive symbols.
    """
    if effects is None or effects.max() <= 0:
        return []
    largest = np.argsort(-effects, kind="stable")[:MAX_DECISIVE]
    return sorted(int(position) for position in largest if effects[position] >= DECISIVE_FRACTION * effects.max())


def _log_odds(logits: Tensor, answer: int) -> Tensor:
    """(B, K) logits -> (B,) log-odds of a class against all others."""
    others = torch.cat([logits[:, :answer], logits[:, answer + 1 :]], 1)
    return logits[:, answer] - others.logsumexp(1)
