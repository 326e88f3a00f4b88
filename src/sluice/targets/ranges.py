"""Ranges of arguments in `optimizer`, `scheduler` and `callbacks` that torch and Lightning accept without checking."""

from collections.abc import Callable, Mapping
from typing import Any

from sluice.config.fields import Allowed, shown
from sluice.errors import UserError
from sluice.plain import Plain
from sluice.targets.instantiate import construct

CHECKED = ("torch.", "pytorch_lightning.", "lightning.", "sluice.")
"""Packages of the classes whose arguments are checked; the names of arguments of other classes may mean anything."""
_COUNT, _POSITIVE, _NOT_NEGATIVE = Allowed(least=1), Allowed(above=0), Allowed(least=0)
_FRACTION, _UP_TO_1 = Allowed(least=0, below=1), Allowed(least=0, most=1)
SCHEDULES: Mapping[str, Allowed] = {
    **dict.fromkeys(("step_size", "T_max", "T_0", "T_mult", "total_iters", "milestones"), _COUNT),
    **dict.fromkeys(("total_steps", "epochs", "steps_per_epoch", "step_size_up", "step_size_down"), _COUNT),
    **dict.fromkeys(("gamma", "power", "max_lr", "div_factor", "final_div_factor", "swa_lr"), _POSITIVE),
    **dict.fromkeys(("base_lr", "min_lr", "eta_min", "patience", "cooldown", "threshold", "eps"), _NOT_NEGATIVE),
    **dict.fromkeys(("base_momentum", "max_momentum"), _FRACTION),
    "ReduceLROnPlateau.factor": Allowed(above=0, below=1),
    "ConstantLR.factor": Allowed(above=0, most=1),
    "CyclicLR.mode": Allowed(choices=("triangular", "triangular2", "exp_range")),
}
OPTIMIZERS: Mapping[str, Allowed] = {
    "lr": _POSITIVE,
    "momentum": _FRACTION,
    "dampening": _UP_TO_1,
    "NTASGD.patience": _COUNT,
    "RMSprop.alpha": _FRACTION,
    "ASGD.alpha": _POSITIVE,
    "lambd": _NOT_NEGATIVE,
    "t0": _NOT_NEGATIVE,
    "step_sizes": _POSITIVE,
}
CALLBACKS: Mapping[str, Allowed] = {
    **dict.fromkeys(("patience", "min_delta"), _NOT_NEGATIVE),
    "flush_logs_every_n_steps": _COUNT,
}
ORDERED = (("base_lr", "max_lr"), ("base_momentum", "max_momentum"))
"""Arguments of which the first must be less than the second."""


def check_argument_ranges(key: str, spec: Plain, allowed: Mapping[str, Allowed], kind: type) -> None:
    """Checks the arguments of a class or function of torch, Lightning or Sluice.

    Args:
        key: the group or its entry, for error messages.
        spec: `_target_` and its arguments.
        allowed: ranges by the name of the argument, or by class and argument where the classes differ.
        kind: class that the object must be an instance of.

    Raises:
        UserError: for an argument of the wrong type or out of its range.
    """
    make: Callable[..., Any] = construct(key, {**spec, "_partial_": True}, kind)
    target = getattr(make, "func", make)
    if not f"{target.__module__}.".startswith(CHECKED):
        return
    if spec.get("maximize"):
        raise UserError(f"{key}.maximize=true cannot be used: training minimises the loss")
    given = {**spec, **getattr(make, "keywords", {})}  # with the objects of nested targets
    for name, value in given.items():
        span = allowed.get(f"{target.__name__}.{name}", allowed.get(name))
        if span is None or value is None or (isinstance(spec[name], dict) and not _fits(value, span)):
            continue  # an object, such as a tensor
        if not (_fits(value, span) and span.allows(value)):
            entry = "each entry" if isinstance(value, list) else "it"
            needed = span.expected() if _fits(value, span) else "a whole number" if span is _COUNT else "a number"
            raise UserError(f"{key}.{name}={shown(value)} cannot be used: {entry} must be {needed}")
    for lower, upper in ORDERED:
        if lower in given and upper in given and _as_list(given[lower]) >= _as_list(given[upper]):
            raise UserError(f"{key}.{lower}={shown(given[lower])} must be below {key}.{upper}={shown(given[upper])}")


def _fits(value: object, span: Allowed) -> bool:
    """Returns whether a value can be compared with the bounds of a range."""
    kinds = (int,) if span is _COUNT else (int, float)
    return bool(span.choices) or (value != [] and all(type(entry) in kinds for entry in _as_list(value)))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
