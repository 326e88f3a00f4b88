"""Class weights of the loss."""

import numpy as np
import pytest

from sluice.errors import UserError
from sluice.modules.class_weights import class_weights

TARGETS = np.array([0] * 6 + [1] * 3 + [2])


def test_balanced_weights_equalise_the_classes() -> None:
    weights = class_weights("balanced", ("a", "b", "c"), TARGETS)
    assert weights is not None
    counts = np.bincount(TARGETS)
    assert np.allclose(counts * weights, len(TARGETS) / 3)


def test_given_weights_are_in_class_order() -> None:
    assert class_weights({"b": 2, "a": 1, "c": 0.5}, ("a", "b", "c"), TARGETS) == [1.0, 2.0, 0.5]
    assert class_weights({1: 2, 0: 1}, ("0", "1"), TARGETS) == [1.0, 2.0]
    assert class_weights(None, ("a", "b"), TARGETS) is None


@pytest.mark.parametrize(
    "setting", ["heavy", 2, {"a": 1}, {"a": 1, "b": 2, "z": 3}, {"a": 1, "b": 0}, {"a": 1, "b": "2"}, {"a": 1, "b": -1}]
)
def test_invalid_weights_are_refused(setting: object) -> None:
    with pytest.raises(UserError, match=r"task.class_weights=.* cannot be used"):
        class_weights(setting, ("a", "b"), TARGETS)
