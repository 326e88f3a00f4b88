"""Principal components of word vectors."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class PCAProjection(NamedTuple):
    """Points projected on their first two principal components."""

    points: NDArray[np.float32]
    """(N, 2)."""
    explained_variance_ratio: tuple[float, float]
    """Fraction of the total variance explained by each component."""


def pca_projection(vectors: NDArray[np.float32]) -> PCAProjection:
    """Projects vectors on their first two principal components.

    The sign of each component is chosen so that its coefficient of largest magnitude is positive.

    Args:
        vectors: (N, D), N and D at least 2.

    Raises:
        ValueError: if N or D is below 2.
    """
    if min(vectors.shape) < 2:
        raise ValueError(f"two principal components need vectors of shape (2, 2) or larger, got {vectors.shape}")
    centred = (vectors - vectors.mean(0)).astype(np.float64)
    _, singular_values, directions = np.linalg.svd(centred, full_matrices=False)
    components = directions[:2]
    largest = np.take_along_axis(components, np.abs(components).argmax(1)[:, None], 1)
    variances = singular_values**2
    ratio = variances[:2] / max(float(variances.sum()), np.finfo(np.float64).tiny)
    points = centred @ (components * np.where(largest < 0, -1.0, 1.0)).T
    return PCAProjection(points.astype(np.float32), (float(ratio[0]), float(ratio[1])))
