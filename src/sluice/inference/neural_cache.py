"""A continuous cache that raises the probability of words that followed similar hidden states."""

import torch
from torch import Tensor


class NeuralCache:
    """The cache of Grave, Joulin & Usunier (2017), "Improving neural language models with a continuous cache".

    p(w) = (1 − λ) · p_model(w) + λ · p_cache(w),  p_cache(w) ∝ Σ_i 1[w = x_i+1] · exp(θ · h_t · h_i)

    The sum is over the last `window` positions i before t. The model is unchanged, and nothing is learned.
    """

    def __init__(self, *, window: int, sharpness: float, weight: float) -> None:
        """
        Args:
            window: number of cached positions, at least 1.
            sharpness: θ, at least 0.
            weight: λ, in [0, 1).

        Raises:
            ValueError: if an argument is out of range.
        """
        if window < 1 or sharpness < 0 or not 0 <= weight < 1:
            raise ValueError(
                f"a cache needs a window of 1 or more, a sharpness of 0 or more and a weight in [0, 1), "
                f"got {window}, {sharpness:g} and {weight:g}"
            )
        self.window, self.sharpness, self.weight = window, sharpness, weight
        self._keys: Tensor | None = None
        self._words: Tensor | None = None

    @torch.no_grad()
    def losses(self, outputs: Tensor, targets: Tensor, losses: Tensor) -> Tensor:
        """Computes −log p of the next chunk of a text with the cache, then adds the chunk to the cache.

        Args:
            outputs: (B, T, H), the outputs h of the recurrent core.
            targets: (B, T) int64, the next words; below 0 at positions without one.
            losses: (B, T), −log p_model of the targets.

        Returns:
            (B, T), 0 at positions without a target.
        """
        steps = outputs.shape[1]
        keys = outputs if self._keys is None else torch.cat([self._keys, outputs], 1)
        words = targets if self._words is None else torch.cat([self._words, targets], 1)
        cached = keys.shape[1] - steps
        age = torch.arange(cached, keys.shape[1], device=keys.device).unsqueeze(1) - torch.arange(
            keys.shape[1], device=keys.device
        )
        visible = (age > 0) & (age <= self.window) & (words >= 0).unsqueeze(1)
        similarity = (self.sharpness * outputs @ keys.transpose(1, 2)).masked_fill(~visible, -torch.inf)
        attention = similarity.softmax(-1).nan_to_num(0.0)
        cache_probability = (attention * (words.unsqueeze(1) == targets.unsqueeze(2))).sum(-1)
        weight = torch.where(visible.any(-1), self.weight, 0.0)
        mixed = (1 - weight) * (-losses).exp() + weight * cache_probability
        self._keys, self._words = keys[:, -self.window :], words[:, -self.window :]
        return torch.where(targets >= 0, -mixed.log(), 0.0)
