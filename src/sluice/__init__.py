"""Sluice: train, compare and use recurrent text models with PyTorch Lightning and Hydra."""

from typing import Any

from sluice.version import __version__

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Imports `load` lazily, since it imports torch, which most commands don't need at start-up."""
    if name != "load":
        raise AttributeError(f"module 'sluice' has no attribute {name!r}")
    from sluice.recipes.load import load

    return load
