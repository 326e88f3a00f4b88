"""python -m sluice: the `sluice` command."""

import sys
from pathlib import Path

if __name__ == "__main__":
    if sys.path and sys.path[0] == str(Path.cwd()):  # `python -m` adds it, the `sluice` command doesn't
        del sys.path[0]
    from sluice.cli.main import app

    app()
