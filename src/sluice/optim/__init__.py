"""Optimizers and learning-rate schedules."""

from sluice.optim.nt_asgd import NTASGD
from sluice.optim.row_adagrad import RowAdagrad
from sluice.optim.schedules import Schedule, cosine, linear, one_cycle, plateau

__all__ = [
    "NTASGD",
    "RowAdagrad",
    "Schedule",
    "cosine",
    "linear",
    "one_cycle",
    "plateau",
]
