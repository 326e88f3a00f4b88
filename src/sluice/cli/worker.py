"""A worker of a run on several devices: python -m sluice.cli.worker launch.yaml, started by `launching`."""

import sys
from pathlib import Path

import yaml

from sluice.cli.failing import INTERRUPTED, politely


def main(path: Path) -> None:
    """Trains as the rank that the environment says."""
    with politely():
        from sluice.cli.composing import restored
        from sluice.cli.training import Interrupted, run

        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
        try:
            run(restored(plain["config"], plain["schema"]))
        except Interrupted:
            raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
