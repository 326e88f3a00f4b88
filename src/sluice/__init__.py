"""Sluice: train, compare and use recurrent text models with PyTorch Lightning and Hydra."""

from typing import TYPE_CHECKING

from sluice.version import __version__

if TYPE_CHECKING:
    from sluice.api import load as load
    from sluice.api import load_embeddings as load_embeddings
    from sluice.inference import Classifier as Classifier
    from sluice.inference import Embeddings as Embeddings
    from sluice.inference import LanguageModel as LanguageModel
    from sluice.inference import PairClassifier as PairClassifier
    from sluice.inference import Tagger as Tagger
    from sluice.inference import Translator as Translator

_CLASSES = ("Classifier", "Embeddings", "LanguageModel", "PairClassifier", "Tagger", "Translator")
_FUNCTIONS = ("load", "load_embeddings")
__all__ = [
    "Classifier",
    "Embeddings",
    "LanguageModel",
    "PairClassifier",
    "Tagger",
    "Translator",
    "__version__",
    "load",
    "load_embeddings",
]


def __getattr__(name: str) -> object:
    """Imports the API lazily, since it imports torch, which most commands don't need at start-up."""
    if name in _CLASSES:
        from sluice import inference

        return getattr(inference, name)
    if name in _FUNCTIONS:
        from sluice import api

        return getattr(api, name)
    raise AttributeError(f"module 'sluice' has no attribute {name!r}")
