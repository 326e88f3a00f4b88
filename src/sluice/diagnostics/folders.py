"""The folders of corpora, caches and runs, and the SLURM environment."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from sluice.diagnostics.finding import OK, OPTIONAL, Finding
from sluice.memory import GIB

FOLDERS = (
    ("data", "SLUICE_DATA", "data", "paths.data_dir"),
    ("cache", "SLUICE_CACHE", "data/cache", "paths.cache_dir"),
    ("runs", None, "outputs", "paths.output_dir"),
)
"""Name, environment variable, default, and setting of each folder, as in conf/paths."""
SLURM = (
    "SLURM_JOB_ID",
    "SLURM_JOB_NUM_NODES",
    "SLURM_NTASKS",
    "SLURM_CPUS_PER_TASK",
    "SLURM_JOB_GPUS",
    "SLURM_STEP_ID",
)


def check_folders(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Yields each folder: its size, the free space, and whether it can be written to."""
    for name, variable, default, setting in FOLDERS:
        folder = Path((environment.get(variable) if variable else None) or default).absolute()
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        instead = f"set {setting}" + (f" or {variable}" if variable else "")
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            yield Finding("Folders", name, f"{folder} cannot be written to", OPTIONAL, f"{instead} to another folder")
            continue
        free = f"{shutil.disk_usage(existing).free / GIB:.1f} GiB free"
        if not folder.exists():
            yield Finding("Folders", name, f"{folder} is created when needed, {free}")
        else:
            yield Finding("Folders", name, f"{folder}, {size_of(folder) / GIB:.2f} GiB, {free}", OK)


def size_of(folder: Path) -> int:
    """Returns the size of all files in a folder in bytes; links are not followed."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root) / name
            if path.is_file() and not path.is_symlink():
                total += path.stat().st_size
    return total


def check_slurm(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Yields the variables of the SLURM job, or whether SLURM is installed."""
    given = {name: environment[name] for name in SLURM if environment.get(name)}
    if given:
        for name, value in given.items():
            yield Finding("SLURM", name, value)
        if "SLURM_STEP_ID" not in given:
            advice = "start training with srun for more than one process, see cluster/sluice.sbatch"
            yield Finding("SLURM", "step", "not in a step", OPTIONAL, advice)
    elif shutil.which("sbatch", path=environment.get("PATH")):
        yield Finding("SLURM", "sbatch", "installed, not in a job")
    else:
        yield Finding("SLURM", "sbatch", "not installed", OK)
