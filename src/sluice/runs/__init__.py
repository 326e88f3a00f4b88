"""Run folders: names, leases, checkpoint files, results, logs and comparison tables."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.runs.checkpoint import find_checkpoint as find_checkpoint
    from sluice.runs.checkpoint import network_weights as network_weights
    from sluice.runs.checkpoint import read_checkpoint as read_checkpoint
    from sluice.runs.comparison import Group as Group
    from sluice.runs.comparison import find_runs as find_runs
    from sluice.runs.comparison import group_runs as group_runs
    from sluice.runs.lease import Lease as Lease
    from sluice.runs.lease import LeaseLost as LeaseLost
    from sluice.runs.report import print_confusion as print_confusion
    from sluice.runs.report import print_results as print_results
    from sluice.runs.results import read_results as read_results
    from sluice.runs.results import write_results as write_results

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "checkpoint": ["find_checkpoint", "network_weights", "read_checkpoint"],
        "comparison": ["Group", "find_runs", "group_runs"],
        "lease": ["Lease", "LeaseLost"],
        "report": ["print_confusion", "print_results"],
        "results": ["read_results", "write_results"],
    },
)
