"""Declaring settings with a description, a default and a range."""

import math
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field, fields, is_dataclass
from typing import Any

from sluice.errors import UserError

MISSING = "???"
"""OmegaConf's mark of a missing value."""
DEFAULT_OF = "default of "
"""Beginning of the description of a setting whose only effect is to be the default of another one."""
LARGEST, LARGEST_FLOAT = 2**53, 1e9
"""No setting needs a larger number; whole ones up to this one are exact in float64."""


def refers_to(key: str) -> str:
    """Declares a default that is the value of another setting, as OmegaConf's interpolation."""
    return f"${{{key}}}"


class Settings:
    """Base class of the dataclasses of settings; `freeze` makes an instance read-only."""

    __slots__ = ("_frozen",)

    def __setattr__(self, name: str, value: object) -> None:
        if getattr(self, "_frozen", False):
            raise FrozenInstanceError(f"{type(self).__name__}.{name} cannot be set: the configuration is complete")
        object.__setattr__(self, name, value)


def freeze(settings: Settings) -> None:
    """Makes settings read-only, nested ones too."""
    for entry in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, entry.name)
        if isinstance(value, Settings):
            freeze(value)
    object.__setattr__(settings, "_frozen", True)


@dataclass(frozen=True)
class Allowed:
    """The range of a setting."""

    least: float | None = None
    most: float | None = None
    below: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    sizes: bool = False
    """Whether the value is a size of all layers or a list with a size for each layer, which has no type of its own."""

    def expected(self) -> str:
        """Describes the range; empty if there is none."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        bounds = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{word} {_plain(bound)}" for word, bound in bounds.items() if bound is not None)

    def allows(self, value: Any) -> bool:
        """Returns whether a value lies in the range."""
        if self.choices:
            return set(value) <= set(self.choices) if isinstance(value, list) else value in self.choices
        if isinstance(value, list):
            return all(map(self.allows, value))
        if self.most is not None and not value <= self.most:
            return False
        if self.least is not None and not value >= self.least:
            return False
        if self.above is not None and not value > self.above:
            return False
        return self.below is None or value < self.below


def setting(
    meaning: str,
    default: object = MISSING,
    *,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declares a setting.

    Args:
        meaning: description in `--help`.
        default: default value, missing by default; a tuple declares a list.
        least: inclusive lower bound.
        most: inclusive upper bound.
        below: exclusive upper bound.
        above: exclusive lower bound.
        choices: allowed values.
    """
    metadata = {"meaning": meaning, "allowed": Allowed(least, most, below, above, choices)}
    if isinstance(default, tuple):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def count(meaning: str, default: object = MISSING) -> Any:
    """Declares an integer of at least 1."""
    return setting(meaning, default, least=1)


def fraction(meaning: str, default: object = 0.0) -> Any:
    """Declares a number in [0, 1)."""
    return setting(meaning, default, least=0, below=1)


def layer_sizes(meaning: str, default: object = MISSING, *, most: float | None = None) -> Any:
    """Declares a size of all layers, or a list with a size for each layer, of at least 1.

    Args:
        meaning: description in `--help`.
        default: default value, missing by default.
        most: inclusive upper bound.
    """
    return field(default=default, metadata={"meaning": meaning, "allowed": Allowed(least=1, most=most, sizes=True)})


def choice(meaning: str, choices: tuple[str, ...], default: object = MISSING) -> Any:
    """Declares a setting with a fixed set of values; of a list, each entry must be one of them.

    Args:
        meaning: description in `--help`.
        choices: allowed values.
        default: default value, missing by default; a tuple declares a list.
    """
    return setting(meaning, default, choices=choices)


def check_ranges(config: Any, prefix: str = "") -> None:
    """Checks every setting against its range.

    Raises:
        UserError: for the first value out of range, with its key and range.
    """
    for entry in fields(config):
        value, key = getattr(config, entry.name), prefix + entry.name
        allowed: Allowed | None = entry.metadata.get("allowed")
        if allowed is not None and allowed.sizes and not _are_sizes(value):
            raise UserError(
                f"{key}={shown(value)} cannot be used: it must be a whole number, or a list with one for each layer"
            )
        if isinstance(value, list) and any(isinstance(part, list | dict) for part in value):
            raise UserError(f"{key}={shown(value)} cannot be used: each entry must be a single value")
        if is_dataclass(value):
            check_ranges(value, f"{key}.")
        elif allowed is not None and value is not None:
            check_finite(key, value)
            if not allowed.allows(value):
                raise UserError(f"{key}={shown(value)} cannot be used: {_must_be(allowed, value)}")
            if isinstance(value, int | float) and abs(value) > (LARGEST if isinstance(value, int) else LARGEST_FLOAT):
                raise UserError(f"{key}={value} cannot be used: it is too large")


def check_finite(key: str, value: object) -> None:
    """Rejects NaN and infinite numbers in nested plain containers.

    Args:
        key: dotted name of the setting.
        value: its value.

    Raises:
        UserError: for the first such number.
    """
    if isinstance(value, Mapping):
        for name, part in value.items():
            check_finite(f"{key}.{name}", part)
    elif isinstance(value, list | tuple):
        for part in value:
            check_finite(key, part)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key}={value} cannot be used: it must be a finite number")


def _are_sizes(value: object) -> bool:
    sizes = value if isinstance(value, list) else [value]
    return bool(sizes) and all(type(size) is int for size in sizes)


def _must_be(allowed: Allowed, value: object) -> str:
    return f"{'each entry' if isinstance(value, list) else 'it'} must be {allowed.expected()}"


def shown(value: object) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {shown(part)}' for name, part in value.items())}}}"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(bound: float) -> str:
    return str(int(bound)) if float(bound).is_integer() else f"{bound:g}"


def default_of(schema: type, key: str) -> str | None:
    """Returns the setting whose default a setting is, according to its description; None if it is no default.

    Args:
        schema: the dataclass of a group.
        key: name of the setting within the group, with dots.
    """
    first, _, rest = key.partition(".")
    found = next((entry for entry in fields(schema) if entry.name == first), None)
    if found is None:
        return None
    if rest:
        made = found.default_factory() if callable(found.default_factory) else None
        return default_of(type(made), rest) if is_dataclass(made) else None
    meaning = str(found.metadata.get("meaning", ""))
    return meaning.removeprefix(DEFAULT_OF).split()[0].rstrip(",;") if meaning.startswith(DEFAULT_OF) else None
