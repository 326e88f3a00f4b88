"""Negative log-likelihood of texts under a trained language model: plain, with a cache, or with dynamic evaluation."""

import logging
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.data.samplers import ChunkSampler
from sluice.data.streams import ChunkBatch, Streams
from sluice.inference.dynamic_evaluation import DynamicEvaluation
from sluice.inference.neural_cache import NeuralCache
from sluice.models.language import LanguageModel
from sluice.recurrent.states import StackState, map_state

log = logging.getLogger(__name__)

MAX_EXPONENT = math.log(sys.float_info.max)
METHOD_GROUPS = ("cache", "dynamic")
"""Groups of settings that only the method of the same name uses."""
STREAMS = {"train": "data.val_streams", "val": "data.val_streams", "test": "data.test_streams"}
"""Setting with the number of streams in which a split is evaluated."""


@dataclass(frozen=True)
class TextLoss:
    """Negative log-likelihood of a text."""

    nll: float
    """Σ −log p of the tokens, in nats."""
    tokens: int
    """Number of tokens."""

    @property
    def loss(self) -> float:
        """Mean −log p of a token, in nats."""
        return self.nll / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(loss); infinite above the largest float."""
        return math.inf if self.loss > MAX_EXPONENT else math.exp(self.loss)


class LMEvaluator:
    """Computes the negative log-likelihood of texts under a trained language model."""

    def __init__(self, network: LanguageModel, *, end_id: int, streams: int = 1, chunk_length: int = 50) -> None:
        """
        Args:
            network: the model; set to evaluation mode, its weights are unchanged after every evaluation.
            end_id: id of the end of a line, the first input.
            streams: number of contiguous parts of the text that are evaluated in parallel; 1 for results that
                can be compared with published ones.
            chunk_length: steps per forward pass.
        """
        self.network, self.end_id = network.eval(), end_id
        self.streams, self.chunk_length = streams, chunk_length
        self.device = next(network.parameters()).device

    def evaluate(self, text: NDArray[np.int32]) -> TextLoss:
        """Evaluates a text of ids (N,)."""
        return self._sum(text, self.losses(text))

    def evaluate_with_cache(self, text: NDArray[np.int32], cache: NeuralCache) -> TextLoss:
        """Evaluates a text of ids (N,) with a cache, which must be empty."""
        return self._sum(text, self.losses(text, cache))

    def losses(self, text: NDArray[np.int32], cache: NeuralCache | None = None) -> Iterator[Tensor]:
        """Yields −log p of the tokens in chunks (B, T), 0 at positions without a token."""
        state: StackState | None = None
        for batch in self._chunks(text, self.streams):
            with torch.inference_mode():
                outputs = self.network(batch.inputs, state)
                losses, state = self.network.losses(outputs, batch.targets), outputs.state
                if cache is not None:
                    losses = cache.losses(outputs.outputs, batch.targets, losses)
            yield losses

    def evaluate_dynamic(
        self,
        text: NDArray[np.int32],
        *,
        training_text: NDArray[np.int32],
        learning_rate: float,
        decay: float,
        epsilon: float,
        statistics_streams: int,
        statistics_chunks: int | None,
    ) -> TextLoss:
        """Evaluates a text with dynamic evaluation and restores the weights.

        The loss of a chunk is computed before the weights are adapted to it.

        Args:
            text: ids (N,).
            training_text: ids (M,) of the text that the model was trained on.
            learning_rate: η of DynamicEvaluation.
            decay: λ of DynamicEvaluation.
            epsilon: ε of DynamicEvaluation.
            statistics_streams: parallel streams of the training text, whose gradients are averaged before squaring.
            statistics_chunks: maximum number of chunks of the training text over which squared gradients are averaged;
                None for all.
        """
        parameters: list[Tensor] = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        gradients = self._gradients(training_text, statistics_streams)
        squares = _mean_squares(parameters, islice(gradients, statistics_chunks))
        options = {"learning_rate": learning_rate, "decay": decay, "epsilon": epsilon}
        dynamic = DynamicEvaluation(parameters, squares, **options)
        with dynamic.restore_on_exit():
            cost = self._sum(text, self._adapted_losses(text, dynamic))
        if not math.isfinite(cost.perplexity):
            log.warning("Dynamic evaluation diverged: reduce dynamic.learning_rate, which is %g.", learning_rate)
        return cost

    def _adapted_losses(self, text: NDArray[np.int32], dynamic: DynamicEvaluation) -> Iterator[Tensor]:
        for total in self._gradients(text, self.streams):
            yield total
            dynamic.step()

    def _gradients(self, text: NDArray[np.int32], streams: int) -> Iterator[Tensor]:
        """Yields Σ −log p of each chunk, after computing the gradients of its mean."""
        state: StackState | None = None
        for batch in self._chunks(text, streams):
            outputs = self.network(batch.inputs, state)
            tokens = max(1, batch.tokens)
            loss = self.network.total_loss(outputs, batch.targets, scale=1 / tokens)
            loss.backward()
            state = map_state(Tensor.detach, outputs.state)
            yield loss.detach() * tokens

    def _chunks(self, text: NDArray[np.int32], streams: int) -> Iterator[ChunkBatch]:
        parts = Streams(text, streams=min(streams, len(text)), end_id=self.end_id, contiguous=True)
        for piece in ChunkSampler(len(parts), chunk_length=self.chunk_length):
            yield parts[piece].to(self.device)

    def _sum(self, text: NDArray[np.int32], losses: Iterator[Tensor]) -> TextLoss:
        return TextLoss(sum(float(part.double().sum()) for part in losses), len(text))


def unused_setting(key: str, split: str, method: str) -> tuple[str, str] | None:
    """Returns why the evaluation of a language model ignores a setting of its task; None if it does not.

    Args:
        key: name of the setting, without "task.".
        split: "train", "val" or "test".
        method: "plain", "cache" or "dynamic".

    Returns:
        The option that excludes the setting, and what to set instead.

    Example:
        >>> unused_setting("data.test_streams", split="train", method="plain")
        ('--split train', 'data.val_streams')
    """
    group = key.partition(".")[0]
    if group in METHOD_GROUPS and group != method:
        return f"--method {method}", f"--method {group}"
    if key in STREAMS.values() and key != STREAMS[split]:
        return f"--split {split}", STREAMS[split]
    if key == "data.chunk_length" and method == "dynamic":
        return "--method dynamic", "dynamic.chunk_length"
    return None


def _mean_squares(parameters: list[Tensor], gradients: Iterable[object]) -> list[Tensor]:
    """Averages the squared gradients of `parameters`, which each item of `gradients` computes, and resets them."""
    squares, count = [torch.zeros_like(parameter) for parameter in parameters], 0
    for _ in gradients:
        for square, parameter in zip(squares, parameters, strict=True):
            if parameter.grad is not None:  # a learned initial state has a gradient in the first chunk only
                square.addcmul_(parameter.grad, parameter.grad)
                parameter.grad = None
        count += 1
    return [square / count for square in squares]
