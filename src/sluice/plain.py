"""Names for the types that Hydra, Lightning and JSON leave open."""

from collections.abc import Mapping
from typing import Any, TypeAlias

Plain: TypeAlias = dict[str, Any]
"""Nested plain containers, as YAML and JSON hold: settings, results, what a checkpoint carries besides the weights."""
PlainMapping: TypeAlias = Mapping[str, Any]
"""The same, only read."""
