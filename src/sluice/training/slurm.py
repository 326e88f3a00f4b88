"""Requeueing of SLURM jobs."""

import logging
import os
import subprocess

log = logging.getLogger(__name__)


def requeue() -> None:
    """Requeues the current SLURM job and logs the outcome; does nothing outside a job."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or "SUBMITIT_EXECUTOR" in os.environ:
        return  # submitit requeues its jobs itself
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    name = f"{array}_{index}" if array else job
    try:
        subprocess.run(["scontrol", "requeue", name], check=True, capture_output=True, text=True, timeout=60)
        log.info("Requeued SLURM job %s.", name)
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", "") or error).strip()
        log.warning(
            "SLURM job %s could not be requeued (%s): submit it again with resume= to continue the run.", name, reason
        )
