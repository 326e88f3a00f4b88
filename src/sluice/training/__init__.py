"""Training runs: preparation, processes, Trainer, resuming and SLURM."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.training.prepare import Interrupted as Interrupted
    from sluice.training.resume import AlreadyDone as AlreadyDone
    from sluice.training.run import Trained as Trained
    from sluice.training.run import train as train
    from sluice.training.trainer import build_trainer as build_trainer

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "prepare": ["Interrupted"],
        "resume": ["AlreadyDone"],
        "run": ["Trained", "train"],
        "trainer": ["build_trainer"],
    },
)
