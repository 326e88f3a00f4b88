"""Sluice: recurrent text models, trained, compared and used with PyTorch Lightning and Hydra."""

from typing import Any

from sluice.version import __version__

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Imports `load` when it is asked for: it needs torch, which most commands don't need at once."""
    if name != "load":
        raise AttributeError(f"module 'sluice' has no attribute {name!r}")
    from sluice.recipes.load import load

    return load
