"""Objects from the groups that name a class: `_target_` and its arguments."""

from collections.abc import Callable
from typing import Any

import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn

from sluice.errors import UserError
from sluice.plain import Plain


def factory(key: str, spec: Plain) -> Callable[..., Any]:
    """A `_partial_` factory, tried once so that a wrong argument shows before the data is prepared.

    Raises:
        UserError: if it refuses its arguments.
    """
    make = construct(key, spec)
    try:
        made = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0) if key == "scheduler" else None
        _ = make(made, total_steps=10, mode="max") if made else make([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise UserError(f"{key} cannot be built: {str(error).splitlines()[0]}") from error
    return make


def construct_all(key: str, specs: Plain | None) -> list[Any]:
    """The objects of a group in which every entry has a `_target_`; null entries are left out."""
    return [construct(f"{key}.{name}", spec) for name, spec in (specs or {}).items() if spec is not None]


def construct(key: str, spec: Plain, **extra: Any) -> Any:
    """Builds what `spec["_target_"]` names from the other entries and `extra`.

    Raises:
        UserError: if the target is unknown or refuses its arguments.
    """
    try:
        partial = spec.get("_partial_", False)
        make = instantiate({**spec, "_partial_": True}, _convert_="all")
        return make if partial else make(**extra)
    except HydraException as error:
        raise UserError(f"{key} cannot be built: {_reason(error.__cause__ or error)}") from error
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UserError(f"{key} cannot be built: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    return " ".join(str(error).strip().splitlines()[:2]).rstrip(".")
