"""What a text costs a trained language model: read plainly, with a cache, or with weights that follow it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sluice.data.language_modeling import ChunkBatch, Streams
from sluice.data.samplers import ChunkSampler
from sluice.inference.dynamic_evaluation import DynamicEvaluation
from sluice.inference.neural_cache import NeuralCache
from sluice.models.language import LanguageModel

CLIPPED = 0.25
"""Norm to which gradients are clipped in dynamic evaluation, as in the authors' program."""


@dataclass(frozen=True)
class Cost:
    """Σ −log p of a text."""

    nll: float
    tokens: int

    @property
    def loss(self) -> float:
        """Nats a token."""
        return self.nll / self.tokens

    @property
    def perplexity(self) -> float:
        """exp of the loss."""
        return math.exp(self.loss)


class Reader:
    """A trained model that reads a text from its beginning to its end."""

    def __init__(self, network: LanguageModel, *, end_id: int, streams: int = 1, chunk_length: int = 50) -> None:
        """
        Args:
            network: the model; its weights are the same afterwards.
            end_id: id of the end of a line, which stands before the text.
            streams: pieces of the text that are read side by side; published figures have one.
            chunk_length: steps at a time.
        """
        self.network, self.end_id = network.eval(), end_id
        self.streams, self.chunk_length = streams, chunk_length
        self.device = next(network.parameters()).device

    def cost(self, text: NDArray[np.int32]) -> Cost:
        """Of a text of ids (N,), plainly."""
        return self._summed(text, self.losses(text))

    def cost_with_cache(self, text: NDArray[np.int32], cache: NeuralCache) -> Cost:
        """Of a text of ids (N,), with a fresh cache."""
        return self._summed(text, self.losses(text, cache))

    def losses(self, text: NDArray[np.int32], cache: NeuralCache | None = None) -> Iterator[Tensor]:
        """−log p of the tokens, chunk by chunk, (B, T), 0 where there is none."""
        state: Any = None
        for batch in self._chunks(text):
            with torch.inference_mode():
                read = self.network(batch.inputs, state)
                losses, state = self.network.losses(read, batch.targets), read.state
                if cache is not None:
                    losses = cache.losses(read.outputs, batch.targets, losses)
            yield losses

    def cost_with_dynamic(
        self,
        text: NDArray[np.int32],
        *,
        training_text: NDArray[np.int32],
        learning_rate: float,
        decay: float,
        statistics_chunks: int,
    ) -> Cost:
        """Of a text of ids (N,), with weights that follow it; they are back to what they were afterwards.

        Args:
            text: the text.
            training_text: ids (M,) of the text that the model was trained on.
            learning_rate: η of DynamicEvaluation.
            decay: λ of DynamicEvaluation.
            statistics_chunks: chunks of the training text from which the gradients' sizes are taken.
        """
        parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        squares = self._mean_squares(training_text, statistics_chunks, parameters)
        dynamic = DynamicEvaluation(parameters, squares, learning_rate=learning_rate, decay=decay)
        with dynamic.undone():
            return self._summed(text, self._followed(text, parameters, dynamic))

    def _followed(
        self, text: NDArray[np.int32], parameters: list[nn.Parameter], dynamic: DynamicEvaluation
    ) -> Iterator[Tensor]:
        """The losses of each chunk before the weights have seen it."""
        for total, _ in self._gradients(text):
            torch.nn.utils.clip_grad_norm_(parameters, CLIPPED)
            yield total
            dynamic.step()

    def _mean_squares(self, text: NDArray[np.int32], chunks: int, parameters: list[nn.Parameter]) -> list[Tensor]:
        squares, seen = [torch.zeros_like(parameter) for parameter in parameters], 0
        for _ in self._gradients(text):
            torch.nn.utils.clip_grad_norm_(parameters, CLIPPED)
            for square, parameter in zip(squares, parameters, strict=True):
                if parameter.grad is not None:  # that of a learned first state has one in the first chunk alone
                    square.addcmul_(parameter.grad, parameter.grad)
                    parameter.grad = None
            seen += 1
            if seen == chunks:
                break
        return [square / seen for square in squares]

    def _gradients(self, text: NDArray[np.int32]) -> Iterator[tuple[Tensor, ChunkBatch]]:
        """Σ −log p of each chunk, whose mean's gradient the parameters then have."""
        state: Any = None
        for batch in self._chunks(text):
            read = self.network(batch.inputs, state)
            total = self.network.total_loss(read, batch.targets)
            (total / max(1, batch.tokens)).backward()
            state = type(read.state)(*(part.detach() for part in read.state))
            yield total.detach(), batch

    def _chunks(self, text: NDArray[np.int32]) -> Iterator[ChunkBatch]:
        streams = Streams(text, streams=min(self.streams, len(text)), end_id=self.end_id, contiguous=True)
        for piece in ChunkSampler(len(streams), chunk_length=self.chunk_length):
            yield streams[piece].to(self.device)

    def _summed(self, text: NDArray[np.int32], losses: Iterator[Tensor]) -> Cost:
        return Cost(sum(float(part.double().sum()) for part in losses), len(text))
