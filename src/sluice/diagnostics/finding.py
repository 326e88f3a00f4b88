"""One finding about the environment."""

from dataclasses import dataclass

OK, OPTIONAL, BROKEN = "ok", "optional", "broken"


@dataclass(frozen=True)
class Finding:
    """A fact, and what to do if something is missing."""

    section: str
    name: str
    value: str
    state: str = OK
    """ "ok"; "optional": something is missing that Sluice works without; "broken": Sluice doesn't work."""
    advice: str | None = None
    """What to do; None if nothing needs to be done."""
