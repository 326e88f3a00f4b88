"""Where the files of this installation are: the repository's in an editable installation, the package's in a wheel."""

from pathlib import Path

from sluice.errors import UserError

PACKAGE = Path(__file__).resolve().parent


def repository() -> Path | None:
    """Returns the checkout that this package runs from; None if it was installed from a wheel."""
    root = PACKAGE.parents[1]
    return root if PACKAGE.parent.name == "src" and (root / "conf" / "config.yaml").is_file() else None


def find_conf() -> Path:
    """Returns the folder of Sluice's configuration files: conf/ of the repository, else the copy in the package.

    Raises:
        UserError: if the installation has neither.
    """
    root = repository()
    folder = PACKAGE / "conf" if root is None else root / "conf"
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder} has no config.yaml: the installation is incomplete, install sluice-rnn again")
    return folder
