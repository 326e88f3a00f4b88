"""Files that settings name are checked before any data are read."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from sluice.composition.checks import FILES, check_files
from sluice.composition.given import check_overrides
from sluice.config.schema import Config
from sluice.errors import UserError


def config_with(name: str, path: Path) -> Config:
    """The parts of a configuration that are read."""
    task = SimpleNamespace(data=SimpleNamespace(**{name: str(path)}))
    return cast(Config, SimpleNamespace(task=task, embedding=SimpleNamespace(path=None)))


@pytest.mark.parametrize("name", FILES)
def test_pipe_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=rf"^task\.data\.{name}=.*/pipe is a pipe: save its contents in a file"):
        check_files(config_with(name, tmp_path / "pipe"))


@pytest.mark.parametrize("name", FILES)
def test_files_and_folders_are_accepted(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    check_files(config_with(name, tmp_path / "file"))
    check_files(config_with(name, tmp_path))
    with pytest.raises(UserError, match=rf"^task\.data\.{name}=.*/none does not exist"):
        check_files(config_with(name, tmp_path / "none"))


def test_names_that_are_not_utf8_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"'task.data.path=caf.udce9.csv' cannot be used, since it is not UTF-8"):
        check_overrides(["task.data.path=caf\udce9.csv"])
    folder = tmp_path / "dir\udce9"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match="since it is not UTF-8"):
        check_overrides([])
