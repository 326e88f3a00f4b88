"""The settings: types, defaults, descriptions and ranges; names of earlier versions; user code."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.config.common import TaskSettings as TaskSettings
    from sluice.config.fields import Settings as Settings
    from sluice.config.fields import choice as choice
    from sluice.config.fields import count as count
    from sluice.config.fields import fraction as fraction
    from sluice.config.fields import setting as setting
    from sluice.config.schema import Config as Config

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "common": ["TaskSettings"],
        "fields": ["Settings", "choice", "count", "fraction", "setting"],
        "schema": ["Config"],
    },
)
