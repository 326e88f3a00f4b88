"""The principal plane of word vectors."""

import numpy as np
import pytest

from sluice.analysis.embedding_space import pca_projection


def test_principal_plane_maximises_variance() -> None:
    draw = np.random.default_rng(1)
    flat = draw.normal(size=(50, 2)) * (5, 2)
    turned, _ = np.linalg.qr(draw.normal(size=(6, 6)))
    plane = pca_projection((flat @ turned[:2] + 3).astype(np.float32))
    assert sum(plane.explained_variance_ratio) == pytest.approx(1, abs=1e-5)
    assert plane.explained_variance_ratio[0] > plane.explained_variance_ratio[1]
    distances = [np.linalg.norm(points[:, None] - points[None], axis=-1) for points in (plane.points, flat)]
    np.testing.assert_allclose(*distances, atol=1e-4)
    np.testing.assert_allclose(plane.points.mean(0), 0, atol=1e-5)


def test_one_vector_has_no_principal_plane() -> None:
    with pytest.raises(ValueError, match="two principal components need"):
        pca_projection(np.ones((1, 3), dtype=np.float32))
