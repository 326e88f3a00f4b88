"""The weight of each class in the training loss, from the setting `task.class_weights`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sluice.errors import UserError


def class_weights(setting: object, labels: Sequence[str], seen: NDArray[np.int64]) -> list[float] | None:
    """The weight of each class, None for equal ones.

    "balanced" weighs class c by N / (K · N_c), for N texts, K classes and N_c texts of class c, as scikit-learn does.

    Args:
        setting: None, "balanced" or {class: weight}.
        labels: class names; the position is the class id.
        seen: (N,) class ids of the training texts.

    Raises:
        UserError: for any other setting, a class missing from it or unknown, or a weight that is not positive.
    """
    if setting is None:
        return None
    if setting == "balanced":
        return [len(seen) / (len(labels) * max(1, int((seen == label).sum()))) for label in range(len(labels))]
    if not isinstance(setting, dict) or set(map(str, setting)) != set(labels):
        raise UserError(
            f"task.class_weights={setting} cannot be used: it must be null, balanced, or a weight for each of "
            f"{', '.join(labels)}, as in 'task.class_weights={{{labels[0]}: 2, ...}}'"
        )
    weights = {str(name): weight for name, weight in setting.items()}
    if not all(isinstance(weight, int | float) and weight > 0 for weight in weights.values()):
        raise UserError(f"task.class_weights={setting} cannot be used: every weight must be a number above 0")
    return [float(weights[label]) for label in labels]
