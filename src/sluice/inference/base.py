"""The base class of trained models in use."""

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn
from typing_extensions import Self

from sluice.errors import UserError
from sluice.inference.embeddings import Embeddings, Neighbour, learned_embeddings

METHODS = ("predict", "predict_proba", "generate", "suggest", "score", "translate", "trace", "neighbours")
"""Methods that some classes have and others lack."""


class InferenceModel:
    """A trained network with everything that its inputs and outputs need: vocabulary, labels, tokenizer.

    Methods change neither the network nor the model, so that several threads can call them at the same time; `to`
    must not be called meanwhile.
    """

    description: ClassVar[str]
    """Completes "a model that ..." in error messages."""
    network: nn.Module
    """The network, in evaluation mode."""

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next((parameter.device for parameter in self.network.parameters()), torch.device("cpu"))

    def to(self, device: str | torch.device) -> Self:
        """Moves the network to a device and returns the model.

        Args:
            device: a device, as `torch.device` takes it.

        Raises:
            UserError: if there is no such device.

        Example:
            >>> from sluice.inference.examples import classifier
            >>> classifier().to("cpu").device
            device(type='cpu')
        """
        try:
            self.network.to(device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise UserError(f"device={device} cannot be used: {reason}") from error
        return self

    @cached_property
    def embeddings(self) -> Embeddings:
        """The words with learned vectors; for translation, those of the source language.

        Raises:
            UserError: if the network has no learned vectors.

        Example:
            >>> from sluice.inference.examples import classifier
            >>> classifier().embeddings.words
            ['the', 'film', 'was', 'good', 'bad', '.']
        """
        embedding = getattr(self.network, "source_embedding", None) or getattr(self.network, "embedding", None)
        return learned_embeddings(embedding, self._words())

    def neighbours(self, word: str, top: int = 10, metric: str = "cosine") -> list[Neighbour]:
        """Returns the nearest neighbours of a word among the learned vectors, see `Embeddings.neighbours`.

        Args:
            word: a word of the vocabulary.
            top: number of neighbours.
            metric: "cosine" or "manhattan".

        Raises:
            UserError: if the word is unknown, or the network has no learned vectors.
            ValueError: for an unknown metric.

        Example:
            >>> from sluice.inference.examples import classifier
            >>> [neighbour.word for neighbour in classifier().neighbours("good", top=2)]
            ['the', '.']
        """
        return self.embeddings.neighbours(word, top, metric)

    def _words(self) -> list[str]:
        """The words of the embedding, in the order of its rows; empty if it is not of words."""
        return []

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Explains which methods the model has instead of a missing one."""
            if name in METHODS:
                own = [method for method in METHODS if hasattr(type(self), method)]
                raise AttributeError(f"a model that {self.description} has no {name}(): it has {', '.join(own)}")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
