"""Checking the arguments of a class in `_target_` against its signature, before it is called."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from sluice.config.fields import shown
from sluice.errors import UserError
from sluice.optim.configured import OWN_SETTINGS

KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a string", NoneType: "null"}
"""Simple types that are checked, and their names in messages; values of any other type are left to the class."""
PLAIN = (str, int, float, NoneType, list, tuple, dict)
"""Types of values in YAML files."""
ENTRIES = {int: " of whole numbers", float: " of numbers", str: " of strings"}
"""Names of the types of a list's entries."""


def check_arguments(key: str, target: Callable[..., object], given: Mapping[str, object]) -> None:
    """Checks the names of arguments against the signature of a class or function, and their types.

    Args:
        key: the group or its entry, for error messages.
        target: the class or function.
        given: arguments by name.

    Raises:
        UserError: for the first argument that is unknown or of the wrong type.
    """
    _check_names(key, target, given)
    hints = _hints(target)
    for name, value in given.items():
        if name in hints and not _fits(value, hints[name]):
            raise UserError(f"{key}.{name}={shown(value)} cannot be used: it must be {_expected(hints[name])}")


def _check_names(key: str, target: Callable[..., object], given: Mapping[str, object]) -> None:
    try:
        parameters = dict(inspect.signature(target).parameters)
    except (TypeError, ValueError):  # of some builtins
        return
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        if not (isinstance(target, type) and issubclass(target, TensorBoardLogger)):
            return
        parameters |= inspect.signature(SummaryWriter).parameters  # which gets the other arguments
    own = OWN_SETTINGS if key == "scheduler" else ()
    unknown = next((name for name in given if name not in parameters and name not in own), None)
    if unknown is None:
        return
    close = difflib.get_close_matches(unknown, parameters, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    raise UserError(
        f"{key} cannot be built: {target.__name__} takes no argument {unknown}{meant}: leave it out, or delete it with "
        f"~{key}.{unknown}"
    )


def _hints(target: Callable[..., object]) -> Mapping[str, object]:
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return get_type_hints(inspect.unwrap(function))
    except (NameError, TypeError, AttributeError):
        return {}


def _fits(value: object, hint: object) -> bool:
    """Returns whether a plain value has an annotated type; True for types that are not checked."""
    if not isinstance(value, PLAIN):  # an object that another `_target_` has created
        return True
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return any(value == part and type(value) is type(part) for part in parts)
    if origin in (list, Iterable, Sequence, tuple) and (not parts or Ellipsis in parts):
        return isinstance(value, list | tuple)  # typing.List and the like without types of entries, or tuple[int, ...]
    if origin is tuple:
        return isinstance(value, list | tuple) and len(value) == len(parts) and all(map(_fits, value, parts))
    if origin in (list, Iterable, Sequence):
        return isinstance(value, list | tuple) and all(_fits(entry, parts[0]) for entry in value)
    if origin in (dict, Mapping):
        return isinstance(value, Mapping)
    if origin is Callable:
        return callable(value)
    if hint in (Tensor, timedelta):
        return False
    if hint not in KINDS:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is not int or not isinstance(value, bool))


def _expected(hint: object) -> str:
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    words: list[str] = []
    for part in parts:
        origin, inner = get_origin(part), get_args(part)
        if part in (Tensor, timedelta):
            continue
        if origin is Callable:
            words.append("a function")
            continue
        if origin is Literal:
            words += map(str, inner)
        elif origin in (list, Iterable, Sequence, dict, Mapping):
            entries = ENTRIES.get(inner[0], "") if inner else ""
            words.append("a dictionary" if origin in (dict, Mapping) else f"a list{entries}")
        elif origin is tuple:
            words.append(f"a list of {len(inner)} values" if inner and Ellipsis not in inner else "a list")
        else:
            words.append(KINDS.get(part, getattr(part, "__name__", str(part))))
    return " or ".join(dict.fromkeys(words))
