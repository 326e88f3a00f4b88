"""The settings of `experiment=temporal_order` learn the order of two symbols that are 15 to 25 steps apart."""

from pathlib import Path

import pytest

from running import trained


@pytest.mark.slow
def test_experiment_learns_distant_symbols(workdir: Path) -> None:
    """An accuracy of 0.75 confuses two of the four classes, one of 0.5 ignores one of the two symbols."""
    level = ("task.level=normal", "task.data.test_size=1000", "task.max_epochs=6", "trainer.accelerator=cpu", "seed=1")
    run = trained(workdir, "experiment=temporal_order", *level)
    assert run.results["test/accuracy"] > 0.99
