"""Writing settings as overrides in Hydra's grammar."""

import re
from pathlib import Path

_UNQUOTED = re.compile(r"[A-Za-z0-9_./-]+")
"""Values that need no quotes."""


def quoted(value: str) -> str:
    """Quotes a value, if necessary."""
    if _UNQUOTED.fullmatch(value):
        return value
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', value)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped).replace("${", r"\${")
    return f'"{escaped}"'


def override_of(key: str, value: str) -> str:
    """Formats a setting, with the value quoted if necessary."""
    return f"{key}={quoted(value)}"


def search_path_of(folder: Path) -> str:
    """The setting of Hydra that adds a folder with configuration files."""
    return f"hydra.searchpath=[{quoted(f'file://{folder.absolute()}')}]"
