"""A real SLURM for the tests of this folder."""

from collections.abc import Iterator

import pytest

from own_slurm import CannotRunError, Slurm, own_slurm


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A SLURM with two nodes, as long as the session; skips where there can be none."""
    try:
        with own_slurm(tmp_path_factory.mktemp("slurm")) as running:
            yield running
    except CannotRunError as reason:
        pytest.skip(str(reason))
