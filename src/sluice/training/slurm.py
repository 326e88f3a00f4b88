"""What a SLURM job needs to know of itself, and how it asks to be started again."""

import logging
import os
import subprocess

log = logging.getLogger(__name__)


def requeue() -> None:
    """Asks SLURM to put this job into its queue again; says so, or why it couldn't. Does nothing outside a job."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or "SUBMITIT_EXECUTOR" in os.environ:
        return  # submitit requeues its jobs itself
    array, place = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    name = f"{array}_{place}" if array else job
    try:
        subprocess.run(["scontrol", "requeue", name], check=True, capture_output=True, text=True, timeout=60)
        log.info("Job %s is in SLURM's queue again.", name)
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", "") or error).strip()
        log.warning("Job %s could not be requeued (%s): submit it again, it goes on by itself.", name, reason)
