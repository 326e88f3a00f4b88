"""Cells of one's own: a Python file that registers them."""

import importlib.util
import sys
from pathlib import Path

from sluice.errors import UserError
from sluice.recipes.outside_code import is_allowed


def import_cells(path: Path) -> None:
    """Runs a file that registers cells; a second call for the same file does nothing.

    Raises:
        UserError: if the command line didn't name the file, it isn't there or cannot be imported.
    """
    path = path.absolute()
    if not is_allowed(path):
        raise UserError(
            f"model.module={path} is not run: only the command line can name code from outside Sluice; add "
            f"model.module={path} to it"
        )
    name = f"sluice_cells_{path.stem}_{abs(hash(str(path)))}"
    if name in sys.modules:
        return
    if not path.is_file():
        raise UserError(f"model.module={path} isn't there: give the Python file that registers the cell")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"model.module={path} cannot be imported: it must be a Python file, ending in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the file is the user's: anything may go wrong in it
        del sys.modules[name]
        reason = " ".join(str(error).split())
        raise UserError(f"model.module={path} cannot be imported: {type(error).__name__}: {reason}") from error
