"""A memory of what was just read: words that stood in a like place are likely again."""

import torch
from torch import Tensor


class NeuralCache:
    """The cache of Grave, Joulin & Usunier (2017), "Improving neural language models with a continuous cache".

    p(w) = (1 − λ) · p_model(w) + λ · p_cache(w),  p_cache(w) ∝ Σ_i 1[w = x_i+1] · exp(θ · h_t · h_i)

    over the last `window` places i before t. Nothing is learned, the model stays as it is.
    """

    def __init__(self, *, window: int, sharpness: float, weight: float) -> None:
        """
        Args:
            window: places remembered.
            sharpness: θ.
            weight: λ.

        Raises:
            ValueError: if the window is below 1, θ below 0 or λ outside [0, 1).
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
        """−log p of the next steps of a text, with the cache; remembers them.

        Args:
            outputs: (B, T, H), h: what the model's prediction is made from.
            targets: (B, T) int64, the words that came; below 0 where none did.
            losses: (B, T), −log p_model of the targets.

        Returns:
            (B, T), 0 where no word came.
        """
        steps = outputs.shape[1]
        keys = outputs if self._keys is None else torch.cat([self._keys, outputs], 1)
        words = targets if self._words is None else torch.cat([self._words, targets], 1)
        before = keys.shape[1] - steps
        age = torch.arange(before, keys.shape[1], device=keys.device).unsqueeze(1) - torch.arange(
            keys.shape[1], device=keys.device
        )
        seen = (age > 0) & (age <= self.window) & (words >= 0).unsqueeze(1)
        likeness = (self.sharpness * outputs @ keys.transpose(1, 2)).masked_fill(~seen, -torch.inf)
        weights = likeness.softmax(-1).nan_to_num(0.0)
        cached = (weights * (words.unsqueeze(1) == targets.unsqueeze(2))).sum(-1)
        weight = torch.where(seen.any(-1), self.weight, 0.0)
        mixed = (1 - weight) * (-losses).exp() + weight * cached
        self._keys, self._words = keys[:, -self.window :], words[:, -self.window :]
        return torch.where(targets >= 0, -mixed.log(), 0.0)
