"""Where the configuration files are, in a checkout and in a wheel."""

from pathlib import Path

import pytest

from sluice import installation
from sluice.errors import UserError
from sluice.installation import find_conf, repository

ROOT = Path(__file__).resolve().parents[2]


def test_checkout_uses_its_own_conf() -> None:
    assert repository() == ROOT
    assert find_conf() == ROOT / "conf"


def test_checkout_ignores_conf_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert find_conf() == ROOT / "conf"


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an installed package without files."""
    folder = tmp_path / "lib" / "site-packages"
    (folder / "sluice" / "conf").mkdir(parents=True)
    monkeypatch.setattr(installation, "PACKAGE", folder / "sluice")
    return folder


def test_wheel_uses_the_packaged_conf(site_packages: Path) -> None:
    (site_packages.parent / "conf").mkdir()
    (site_packages.parent / "conf" / "config.yaml").touch()
    (site_packages / "sluice" / "conf" / "config.yaml").touch()
    assert repository() is None
    assert find_conf() == site_packages / "sluice" / "conf"


def test_incomplete_installation_is_reported(site_packages: Path) -> None:
    with pytest.raises(UserError, match=r"has no config\.yaml: the installation is incomplete"):
        find_conf()
