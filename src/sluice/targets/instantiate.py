"""Instantiating the groups that name a class in `_target_`."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from sluice.config.fields import shown
from sluice.errors import UserError
from sluice.optim.configured import ConfiguredSchedule
from sluice.plain import Plain
from sluice.targets.arguments import check_arguments

LIBRARIES = ("torch.", "pytorch_lightning.", "lightning.")
"""Packages whose exceptions are caused by their arguments; those of other code are reported with a traceback."""


def factory(
    key: str, spec: Plain, optimizer: Callable[..., Any] | None = None, max_epochs: int = 0
) -> Callable[..., Any]:
    """Builds a factory of optimizers or schedules, and calls it once so that errors are found before data are prepared.

    Args:
        key: "optimizer" or "scheduler".
        spec: `_target_` and its arguments.
        optimizer: the factory of optimizers that a schedule is tried with; None for SGD.
        max_epochs: epochs of the training; 0 if unknown.

    Raises:
        UserError: if the arguments are rejected, or the object is no optimizer or schedule.
    """
    kind = LRScheduler if key == "scheduler" else torch.optim.Optimizer
    make = construct(key, {**spec, "_partial_": True}, kind)
    try:
        if key == "scheduler":
            make = ConfiguredSchedule(make.func, make.keywords)
            make.try_with((optimizer or _sgd)([nn.Parameter(torch.zeros(1, 1))]), max_epochs)
        else:
            _try_optimizer(key, spec, make)
    except UserError:
        raise
    except (TypeError, ValueError, IndexError, RuntimeError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{key} cannot be built: {_failure(spec, error)}") from error
    return make


def _failure(spec: Plain, error: Exception) -> str:
    """Describes an error of a class; one of Python, such as a division by zero, is reported with the arguments."""
    if isinstance(error, ValueError) or (isinstance(error, TypeError) and "argument" in str(error)):
        return _reason(error)
    given = ", ".join(f"{name}={shown(value)}" for name, value in spec.items() if not name.startswith("_"))
    what = f"{given} ({_reason(error)}): change the arguments" if given else f"its default arguments ({_reason(error)})"
    return f"{str(spec['_target_']).rpartition('.')[2]} fails with {what}"


def _sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=1.0, momentum=0.9)


def check_target(key: str, spec: Plain, make: object, kind: type) -> None:
    """Checks the class that a `_partial_` factory would instantiate.

    Args:
        key: the group or its entry, for error messages.
        spec: `_target_` and its arguments.
        make: the factory.
        kind: class that the object must be an instance of.

    Raises:
        UserError: if it is another class; functions are not checked.
    """
    target = getattr(make, "func", None)
    if isinstance(target, type) and not issubclass(target, kind):
        raise UserError(_wrong_kind(key, spec, target, kind))
    if inspect.isbuiltin(target):
        raise UserError(f"{key}._target_={spec.get('_target_')} cannot be used: it must be a class")


def _wrong_kind(key: str, spec: Plain, made: type, kind: type) -> str:
    return (
        f"{key}._target_={shown(spec.get('_target_'))} cannot be used: it creates {_with_article(made)}, expected "
        f"{_with_article(kind)} of {kind.__module__.partition('.')[0]}"
    )


def _with_article(kind: type) -> str:
    name = kind.__name__
    spelled = name[:2].isupper() and name[0] in "FHLMNRSX"
    return f"{'an' if spelled or name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _try_optimizer(key: str, spec: Plain, make: Callable[..., Any]) -> None:
    """Takes a step with one parameter, since optimizers use some of their arguments only then.

    Raises:
        ValueError: if it sets the parameter to NaN or infinity.
    """
    weight = nn.Parameter(torch.zeros(2, 1))
    weight.grad = torch.tensor([[0.0], [1.0]])
    optimizer = make([weight])
    _check_kind(key, spec, optimizer, torch.optim.Optimizer)
    optimizer.step()
    if not torch.isfinite(weight).all():
        raise ValueError(f"its first step sets a weight to {weight.sum().item():g}, change its arguments")


def construct_all(key: str, specs: Plain | None, kind: type) -> list[Any]:
    """Instantiates the entries of a group; null entries are skipped.

    Args:
        key: the group.
        specs: its entries.
        kind: class that every object must be an instance of.

    Raises:
        UserError: for an unknown target, rejected arguments, or an object of another class.
    """
    given = {f"{key}.{name}": spec for name, spec in (specs or {}).items() if spec is not None}
    found = {name: construct(name, spec) for name, spec in given.items()}
    for name, made in found.items():
        _check_kind(name, given[name], made, kind)
    return list(found.values())


def construct(key: str, spec: Plain, kind: type = object, **extra: Any) -> Any:
    """Instantiates the class that `spec["_target_"]` names with the other entries and `extra`.

    Args:
        key: the group or its entry, for error messages.
        spec: `_target_` and its arguments; with `_partial_: true` a factory is returned.
        kind: class that the object must be an instance of.
        extra: further arguments.

    Raises:
        UserError: for a missing or unknown target, rejected arguments, or an object of another class.
    """
    if not isinstance(spec, dict) or "_target_" not in spec:
        raise UserError(f"{key} has no _target_: name a class and its arguments, as {key}._target_=package.Class")
    if "_args_" in spec:
        raise UserError(f"{key}._args_ cannot be set: give the arguments by name")
    try:
        make = instantiate({**spec, "_partial_": True}, _convert_="all")
        check_target(key, spec, make, kind)
        check_arguments(key, make.func, make.keywords)
        if spec.get("_partial_", False):
            return make
        made = make(**extra)
    except UserError:
        raise
    except HydraException as error:
        raise UserError(_unknown_target(key, spec["_target_"], error)) from error
    except ImportError as error:
        raise UserError(f"{key} cannot be built: {_reason(error)}; install the missing package") from error
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UserError(f"{key} cannot be built: {_reason(error)}") from error
    except Exception as error:
        if not of_tracking_service(error) and not str(spec["_target_"]).startswith(LIBRARIES):
            raise
        raise UserError(f"{key} cannot be built: {_failure(spec, error)}") from error
    _check_kind(key, spec, made, kind)
    return made


def of_tracking_service(error: Exception) -> bool:
    """Returns whether an error is one of MLflow or Weights & Biases, such as a missing login or database."""
    return type(error).__module__.partition(".")[0] in ("mlflow", "wandb")


def _unknown_target(key: str, target: object, error: HydraException) -> str:
    if any(words in str(error) for words in ("Error loading", "Error locating", "Expected a callable target")):
        expected = "the dotted name of an installed class or function"
        return f"{key}._target_={shown(target)} cannot be used: it must be {expected}"
    return f"{key} cannot be built: {_reason(error.__cause__ or error)}"


def _check_kind(key: str, spec: Plain, made: object, kind: type) -> None:
    if not isinstance(made, kind):
        raise UserError(_wrong_kind(key, spec, type(made), kind))


def _reason(error: BaseException) -> str:
    return " ".join(str(error).strip().splitlines()[:2]).rstrip(".") or type(error).__name__
