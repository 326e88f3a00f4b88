"""A real SLURM for the cluster tests."""

from collections.abc import Iterator

import pytest

from local_slurm import CannotRunError, Slurm, local_slurm


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A SLURM with two nodes for the whole session; skips where it cannot be started."""
    try:
        with local_slurm(tmp_path_factory.mktemp("slurm")) as running:
            yield running
    except CannotRunError as reason:
        pytest.skip(str(reason))
