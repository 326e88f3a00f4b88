"""Worker process of a run on several devices: python -m sluice.training.worker launch.yaml, see `launch`."""

import sys
from pathlib import Path

import yaml

from sluice.exit_codes import INTERRUPTED, exit_on_user_error
from sluice.signals import end_with_parent


def main(path: Path) -> None:
    """Trains with the configuration in a launch file, as the rank given by the environment."""
    end_with_parent()
    with exit_on_user_error():
        from sluice.config.stored import restored
        from sluice.config.user_code import TASK, add_working_directory, import_module
        from sluice.training.run import Interrupted, run

        add_working_directory()
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
        if plain["config"]["task"].get("module") is not None:
            import_module(Path(plain["config"]["task"]["module"]), TASK)
        try:
            run(restored(plain["config"], plain["schema"]))
        except Interrupted:
            raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
