"""Checks of the callbacks that average the weights."""

from pathlib import Path

from sluice.callbacks.weight_averaging import TrainingAverage
from sluice.config.schema import Config
from sluice.errors import UserError
from sluice.plain import PlainMapping
from sluice.targets.instantiate import construct
from sluice.training.trainer import is_nt_asgd


def check_averaging(config: Config) -> None:
    """Refuses several averages of the weights.

    Raises:
        UserError: for two averaging callbacks, or one with an optimizer that averages the weights itself.
    """
    found = averaging_callbacks(config)
    if len(found) > 1:
        names = " and ".join(f"callbacks.{name}" for name in found)
        raise UserError(f"{names} cannot be combined: each averages the weights, choose one")
    if found and is_nt_asgd(config.optimizer):
        raise UserError(
            f"callbacks.{next(iter(found))} cannot be used with optimizer=nt_asgd, which averages the weights itself: "
            "choose another optimizer"
        )


def averaging_callbacks(config: Config) -> dict[str, str]:
    """Returns the names of the callbacks that average the weights, with the names of their classes."""
    given = {
        name: {key: value for key, value in spec.items() if value is not None}  # the run folder may be unknown
        for name, spec in (config.callbacks or {}).items()
        if spec is not None
    }
    made = {
        name: getattr(construct(f"callbacks.{name}", {**spec, "_partial_": True}), "func", None)
        for name, spec in given.items()
    }
    return {
        name: kind.__qualname__
        for name, kind in made.items()
        if isinstance(kind, type) and issubclass(kind, TrainingAverage)
    }


def check_same_averaging(path: Path, checkpoint: PlainMapping, config: Config) -> None:
    """Refuses to resume a run with another kind of average, since its checkpoint has the state of one only.

    Args:
        path: the checkpoint.
        checkpoint: its contents.
        config: the configuration.

    Raises:
        UserError: if the callback that averages the weights was added, removed or replaced.
    """
    states = checkpoint.get("callbacks") or {}
    before = sorted(key for key, state in states.items() if isinstance(state, dict) and "latest_update_step" in state)
    now = sorted(averaging_callbacks(config).values())
    if before != now:
        raise UserError(
            f"the run of {path} was started with {_shown(before)} and cannot be resumed with {_shown(now)}: restore "
            "the callbacks, or start a new run from its weights with init_from= instead of resume="
        )


def _shown(kinds: list[str]) -> str:
    return f"the callback {kinds[0]}" if kinds else "no callback that averages the weights"
