"""The log of a run."""

import logging
from pathlib import Path

from sluice.runs.logs import close_logs, log_to, start_logging


def test_logging_restarts_after_hydra_disabled_it(tmp_path: Path) -> None:
    logger = logging.getLogger("sluice.some.module")
    logger.disabled = True
    start_logging()
    log_to(tmp_path)
    logger.info("said once")
    close_logs()
    logger.info("said too late")
    assert (tmp_path / "log.txt").read_text().splitlines()[-1].endswith("INFO said once")
