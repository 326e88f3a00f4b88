"""Composing the configuration with Hydra: validation, and error messages about the command line."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.composition.compose import checked as checked
    from sluice.composition.compose import compose_config as compose_config

__getattr__, __all__ = lazy_exports(__name__, {"compose": ["checked", "compose_config"]})
