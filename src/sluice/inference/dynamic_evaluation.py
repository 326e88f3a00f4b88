"""Dynamic evaluation: adapting a language model's weights to the text under evaluation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class DynamicEvaluation:
    """Dynamic evaluation of Krause, Kahembwe, Murray & Renals (2018), "Dynamic evaluation of neural sequence models".

    After each chunk of text, every parameter θ takes an RMS-normalised gradient step and decays towards its trained
    value θ_0 (arXiv 1709.07432, section 5):

    θ ← θ − η · g / (RMS + ε) + min(λ · RMS / mean, 1) · (θ_0 − θ)

    g is the gradient of the chunk's loss, RMS the elementwise root mean square of the gradients on the training text,
    and mean the average over parameter tensors of their average RMS, as in the authors' program.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        mean_squares: Sequence[Tensor],
        *,
        learning_rate: float,
        decay: float,
        epsilon: float,
    ) -> None:
        """
        Args:
            parameters: the parameters θ, modified in place.
            mean_squares: RMS² of each parameter, of the same shape: the mean of its squared gradients over chunks of
                the training text.
            learning_rate: η.
            decay: λ.
            epsilon: ε, above 0.

        Raises:
            ValueError: if `parameters` and `mean_squares` differ in length.
        """
        if len(parameters) != len(mean_squares):
            raise ValueError(
                f"{len(parameters)} parameters need {len(parameters)} mean squares, got {len(mean_squares)}"
            )
        self.parameters = list(parameters)
        rms = [square.sqrt() for square in mean_squares]
        mean = torch.stack([values.mean() for values in rms]).mean().clamp_min(torch.finfo(torch.float32).tiny)
        self.scales = [learning_rate / (values + epsilon) for values in rms]
        self.decays = [(decay * values / mean).clamp_max(1.0) for values in rms]
        self.trained = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Updates the parameters from their gradients and sets the gradients to None."""
        for parameter, scale, decay, trained in zip(
            self.parameters, self.scales, self.decays, self.trained, strict=True
        ):
            parameter.lerp_(trained, decay)
            if parameter.grad is not None:
                parameter.addcmul_(parameter.grad, scale, value=-1.0)
                parameter.grad = None

    @contextmanager
    def restore_on_exit(self) -> Iterator["DynamicEvaluation"]:
        """Restores the trained values of the parameters, bit for bit, when the block ends."""
        try:
            yield self
        finally:
            with torch.no_grad():
                for parameter, trained in zip(self.parameters, self.trained, strict=True):
                    parameter.copy_(trained)
                    parameter.grad = None
