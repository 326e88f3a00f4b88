"""Type aliases for untyped containers of Hydra, Lightning and JSON."""

from collections.abc import Mapping
from typing import Any, TypeAlias

Plain: TypeAlias = dict[str, Any]
"""Nested plain containers as in YAML and JSON: settings, results, contents of a checkpoint besides the weights."""
PlainMapping: TypeAlias = Mapping[str, Any]
"""Read-only counterpart of `Plain`."""
