"""Class weights of the training loss, from the setting `task.class_weights`."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sluice.errors import UserError


def class_weights(setting: object, labels: Sequence[str], targets: NDArray[np.int64]) -> list[float] | None:
    """Returns the weight of each class, or None for equal weights.

    "balanced" sets the weight of class c to N / (K · N_c) for N texts, K classes and N_c texts of class c, as in
    scikit-learn.

    Args:
        setting: None, "balanced" or {class: weight}.
        labels: class names; the position is the class id.
        targets: (N,) class ids of the training texts.

    Raises:
        UserError: if the setting is of another kind, a class is missing or unknown, or a weight is not positive.
    """
    if setting is None:
        return None
    if setting == "balanced":
        return [len(targets) / (len(labels) * max(1, int((targets == label).sum()))) for label in range(len(labels))]
    names = {_name(key, labels): weight for key, weight in setting.items()} if isinstance(setting, dict) else {}
    if not names or set(names) != set(labels):
        raise UserError(
            f"task.class_weights={setting} cannot be used: it must be null, balanced, or a weight for each of "
            f"{', '.join(labels)}, as in 'task.class_weights={{{labels[0]}: 2, ...}}'"
        )
    if not all(isinstance(weight, int | float) and 0 < weight < math.inf for weight in names.values()):
        raise UserError(f"task.class_weights={setting} cannot be used: every weight must be a finite number above 0")
    return [float(names[label]) for label in labels]


def _name(key: object, labels: Sequence[str]) -> str:
    """Returns the class that a key names; YAML parses true, yes and null as bool or None, not as text."""
    spelled = str(key)
    if spelled in labels or not isinstance(key, bool | None):
        return spelled
    spellings = {True: ("true", "yes", "on"), False: ("false", "no", "off"), None: ("none", "null")}[key]
    return next((label for label in labels if label.lower() in spellings), spelled)
