"""The monitored metric."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Monitor:
    """The metric that determines the best checkpoint."""

    metric: str
    mode: str
    """"max" or "min"."""
