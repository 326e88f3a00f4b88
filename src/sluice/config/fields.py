"""A setting: its meaning, its default and its range."""

from dataclasses import FrozenInstanceError, dataclass, field, fields, is_dataclass
from typing import Any

from omegaconf import MISSING

from sluice.errors import UserError


class Settings:
    """Base of all dataclasses of settings: once they are complete, `freeze` makes them read-only."""

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
    """Which values a setting takes."""

    least: float | None = None
    below: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()

    def expected(self) -> str:
        """The range in words; empty where anything goes."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        bounds = {"at least": self.least, "above": self.above, "below": self.below}
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)

    def allows(self, value: Any) -> bool:
        """Whether the value lies in the range."""
        if self.choices:
            return set(value) <= set(self.choices) if isinstance(value, list) else value in self.choices
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
    below: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A setting with any range; a tuple as default stands for a list."""
    metadata = {"meaning": meaning, "allowed": Allowed(least, below, above, choices)}
    if isinstance(default, tuple):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def count(meaning: str, default: object = MISSING) -> Any:
    """A whole number from 1 on."""
    return setting(meaning, default, least=1)


def fraction(meaning: str, default: object = 0.0) -> Any:
    """A number from 0 to below 1."""
    return setting(meaning, default, least=0, below=1)


def choice(meaning: str, choices: tuple[str, ...], default: object = MISSING) -> Any:
    """One of several names; of a list, each entry must be one."""
    return setting(meaning, default, choices=choices)


def check_ranges(config: Any, prefix: str = "") -> None:
    """Checks every setting against its range.

    Raises:
        UserError: for the first value out of range; names the key, the value and what was expected.
    """
    for entry in fields(config):
        value, key = getattr(config, entry.name), prefix + entry.name
        if is_dataclass(value):
            check_ranges(value, f"{key}.")
        elif "allowed" in entry.metadata and value is not None:
            allowed: Allowed = entry.metadata["allowed"]
            if not allowed.allows(value):
                raise UserError(f"{key}={value} cannot be used: it must be {allowed.expected()}")
