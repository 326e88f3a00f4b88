"""Arguments are checked against the annotations of a class."""

from datetime import timedelta
from pathlib import Path
from typing import List, Literal, Sequence, Tuple  # noqa: UP035

import pytest
import torch
from torch import Tensor

from sluice.config.fields import check_finite
from sluice.errors import UserError
from sluice.targets.arguments import check_arguments


def target(
    count: int = 1,
    rate: float = 1.0,
    flag: bool = True,
    name: str | None = None,
    pair: tuple[float, float] = (1.0, 1.0),
    kind: Literal["a", "b"] = "a",
    scale: float | Tensor = 1.0,
    items: list[int] | None = None,
    path: Path | None = None,
    wait: timedelta | None = None,
    untyped: List | None = None,  # type: ignore[type-arg]  # noqa: UP006
    bare: Tuple | None = None,  # type: ignore[type-arg]  # noqa: UP006
    several: Sequence | str = "",  # type: ignore[type-arg]
    many: tuple[int, ...] = (),
) -> None:
    """Its annotations are those of usual arguments."""


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("count", 2), ("rate", 1), ("rate", 0.5), ("flag", False), ("name", None), ("name", "x")),
        *(
            ("pair", [1, 2.0]),
            ("kind", "b"),
            ("scale", 2),
            ("items", [1]),
            ("items", None),
            ("path", "x"),
            ("wait", timedelta(minutes=1)),
            ("untyped", [1, "a"]),
            ("bare", [1, 2]),
            ("several", [1]),
            ("many", [1, 2, 3]),
        ),
    ],
)
def test_arguments_of_the_right_type_are_accepted(argument: str, value: object) -> None:
    check_arguments("group", target, {argument: value})


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        ("count", "x", "group.count=x cannot be used: it must be a whole number"),
        ("count", True, "group.count=true cannot be used: it must be a whole number"),
        ("count", None, "group.count=null cannot be used: it must be a whole number"),
        ("rate", "fast", "it must be a number"),
        ("flag", "maybe", "it must be true or false"),
        ("name", 3, "it must be a string or null"),
        ("pair", [1], "it must be a list of 2 values"),
        ("pair", "x", "it must be a list of 2 values"),
        ("kind", "c", "it must be a or b"),
        ("scale", "fast", "it must be a number"),
        ("untyped", 3, "it must be a list or null"),
        ("bare", 3, "it must be a list or null"),
        ("many", 3, "it must be a list"),
        ("wait", 3, "it must be null"),
        ("items", 3, "it must be a list of whole numbers or null"),
        ("items", ["x"], "it must be a list of whole numbers or null"),
    ],
)
def test_arguments_of_another_type_are_refused(argument: str, value: object, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        check_arguments("group", target, {argument: value})


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(UserError, match=r"target takes no argument coun \(did you mean count\?\): leave it out"):
        check_arguments("group", target, {"coun": 3})
    check_arguments("group", dict, {"anything": 3})


def test_classes_of_torch_are_checked() -> None:
    with pytest.raises(UserError, match=r"optimizer.amsgrad=foo cannot be used: it must be true or false"):
        check_arguments("optimizer", torch.optim.Adam, {"amsgrad": "foo"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("-inf")], {"a": {"b": float("nan")}}])
def test_numbers_that_are_not_finite_are_refused(value: object) -> None:
    with pytest.raises(UserError, match="it must be a finite number"):
        check_finite("group", value)
