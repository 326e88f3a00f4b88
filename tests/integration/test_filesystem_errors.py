"""Missing folders, damaged archives, damaged caches and full disks are reported."""

import errno
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from running import SAMPLE, SMALL, TINY, error_of, runs_below, sluice, train, train_by_hydra
from sluice.data.corpora import imdb
from sluice.errors import UserError

ARCHIVE = "aclImdb_v1.tar.gz"
LOCAL = (*SMALL, "task.data.source=local")


def write_archive(path: Path, names: list[str]) -> Path:
    """A .tar.gz with these files."""
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            content = f"A review called {name}.".encode()
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def reviews(each: int) -> list[str]:
    return [
        f"aclImdb/{split}/{label}/{i}_1.txt"
        for split in ("train", "test")
        for label in ("neg", "pos")
        for i in range(each)
    ]


def full_disk(*ignored: Any, **also_ignored: Any) -> None:
    """Replaces a function that writes a file."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("workdir")
def test_missing_data_folder_is_reported() -> None:
    error = error_of(train(*LOCAL, "paths.data_dir=nowhere"))
    assert "nowhere does not exist or is not a folder: create it" in error
    assert "paths.data_dir" in error


def test_data_folder_must_not_be_a_file(workdir: Path) -> None:
    (workdir / "afile").write_text("x")
    assert "afile" in error_of(train(*LOCAL, "paths.data_dir=afile"))


@pytest.mark.usefixtures("workdir")
def test_empty_data_folder_suggests_download() -> None:
    assert "copy it there, or set task.data.source=download" in error_of(train(*LOCAL))


def test_unwritable_output_folder_is_reported(workdir: Path) -> None:
    (workdir / "afile").write_text("x")
    for folder in ("afile/x", "afile"):
        assert f"{folder} cannot be " in error_of(train_by_hydra(*TINY, f"paths.output_dir={folder}"))
    error = error_of(train("-m", *TINY, "seed=1,2", "paths.output_dir=afile"))
    assert "set paths.output_dir" in error


def test_unwritable_cache_folder_is_reported(workdir: Path) -> None:
    (workdir / "afile").write_text("x")
    error = error_of(train(*TINY, "paths.cache_dir=afile/x"))
    assert "afile/x cannot be used (not a directory): choose a folder" in error


def test_truncated_archive_is_reported(workdir: Path) -> None:
    path = write_archive(workdir / "data" / ARCHIVE, reviews(40))
    path.write_bytes(path.read_bytes()[:-600])
    assert f"{path} is not a complete .tar.gz" in error_of(train(*LOCAL))


def test_wrong_archive_is_reported(workdir: Path) -> None:
    path = workdir / "data" / ARCHIVE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("aclImdb/train/neg/0_1.txt", "Dull.")
    assert f"{path} is not a complete .tar.gz" in error_of(train(*LOCAL))
    write_archive(path, ["something/else.txt"])
    assert f"{path} has no aclImdb/train" in error_of(train(*LOCAL))


def test_archive_with_missing_reviews_is_reported(workdir: Path) -> None:
    path = write_archive(workdir / "data" / ARCHIVE, reviews(3)[:-1])
    error = error_of(train(*LOCAL))
    assert f"{path} should have 12,500 reviews in each class" in error
    assert "test/pos has 2" in error
    assert "should have 12,500 reviews" in error_of(sluice("prepare", "task.data.source=local"))
    assert not list(workdir.rglob("texts-*")), "no partial files remain"


def test_damaged_archive_does_not_fall_back_to_sample(workdir: Path) -> None:
    (workdir / "data" / ARCHIVE).write_bytes(b"\x1f\x8b broken")
    assert ARCHIVE in error_of(train(*SMALL, "task.data.source=auto"))
    assert runs_below(workdir) == []


@pytest.mark.usefixtures("workdir")
def test_prepare_does_not_fall_back_to_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data_dir: Path) -> None:
        raise UserError("no connection")

    monkeypatch.setattr(imdb, "download_imdb", refuse)
    assert "could not be downloaded" in error_of(sluice("prepare", "task=imdb"))


def test_training_uses_the_prepared_cache(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = sluice("prepare", *SAMPLE, "embedding.size=4")
    assert ended.code == 0
    assert "200 texts" in ended.out
    monkeypatch.setattr(np, "save", full_disk)
    assert train(*TINY).code == 0, "the cache must be reused"


def test_truncated_cache_is_rebuilt_and_logged_once(workdir: Path) -> None:
    assert "rebuilding it" not in train(*TINY).err
    (file,) = (workdir / "data" / "cache").glob("*/train_ids.npy")
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    ended = train(*TINY)
    assert ended.code == 0
    assert ended.err.count("rebuilding it") == 1
    assert file.read_bytes() == whole
    assert "rebuilding it" not in train(*TINY).err


def test_full_disk_while_caching_leaves_no_files(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(np, "save", full_disk)
        assert "the disk is full" in error_of(train(*TINY))
    assert not any((workdir / "data" / "cache").iterdir())
    assert train(*TINY).code == 0


def test_full_disk_while_saving_is_reported(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "save", full_disk)
    assert "no space left on device" in error_of(train(*TINY))
    assert not list(workdir.rglob("*.ckpt*"))
