"""Class weights of the training loss, from the setting `task.class_weights`."""

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
    if not isinstance(setting, dict) or set(map(str, setting)) != set(labels):
        raise UserError(
            f"task.class_weights={setting} cannot be used: it must be null, balanced, or a weight for each of "
            f"{', '.join(labels)}, as in 'task.class_weights={{{labels[0]}: 2, ...}}'"
        )
    weights = {str(name): weight for name, weight in setting.items()}
    if not all(isinstance(weight, int | float) and weight > 0 for weight in weights.values()):
        raise UserError(f"task.class_weights={setting} cannot be used: every weight must be a number above 0")
    return [float(weights[label]) for label in labels]
