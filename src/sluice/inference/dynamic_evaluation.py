"""Weights that follow the text while it is read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class DynamicEvaluation:
    """Dynamic evaluation of Krause et al. (2018), "Dynamic evaluation of neural sequence models".

    After each chunk of text every weight θ takes a gradient step on its loss, scaled by the RMS of its gradients on the
    training text, and decays towards its trained value θ_0:

    θ ← θ − η · g / (RMS + (1e-3 + 1e-8) · m) + min(λ · RMS / m, 1) · (θ_0 − θ)

    m is the mean RMS over all weights, but at least 1e-8.
    """

    EPSILON = 1e-8

    def __init__(
        self, parameters: Sequence[Tensor], mean_squares: Sequence[Tensor], *, learning_rate: float, decay: float
    ) -> None:
        """
        Args:
            parameters: the weights, changed in place.
            mean_squares: of each weight's gradient, over pieces of the training text.
            learning_rate: η.
            decay: λ.

        Raises:
            ValueError: if there are not as many of the one as of the other.
        """
        if len(parameters) != len(mean_squares):
            raise ValueError(f"{len(parameters)} parameters need as many mean squares, got {len(mean_squares)}")
        self.parameters = list(parameters)
        sizes = [square.sqrt() for square in mean_squares]
        mean = torch.cat([size.flatten() for size in sizes]).mean().clamp_min(self.EPSILON)
        self.scales = [learning_rate / (size + self.EPSILON * mean + mean * 1e-3) for size in sizes]
        self.pulls = [(decay * size / mean).clamp_max(1.0) for size in sizes]
        self.trained = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Follows the gradients that the parameters have, and clears them."""
        for parameter, scale, pull, trained in zip(self.parameters, self.scales, self.pulls, self.trained, strict=True):
            parameter.add_((trained - parameter) * pull)
            if parameter.grad is not None:
                parameter.addcmul_(parameter.grad, scale, value=-1.0)
                parameter.grad = None

    @contextmanager
    def undone(self) -> Iterator["DynamicEvaluation"]:
        """At the end of the block the weights are what they were trained to be, to the bit."""
        try:
            yield self
        finally:
            with torch.no_grad():
                for parameter, trained in zip(self.parameters, self.trained, strict=True):
                    parameter.copy_(trained)
                    parameter.grad = None
