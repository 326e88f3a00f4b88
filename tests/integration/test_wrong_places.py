"""Folders, archives, caches and disks in a bad way: one sentence, nothing lost."""

import errno
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from running import SAMPLE, SMALL, TINY, complaint, runs_below, sluice, train, train_by_hydra
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
    """Stands in for whatever writes."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("workplace")
def test_a_data_folder_that_is_missing_is_named() -> None:
    said = complaint(train(*LOCAL, "paths.data_dir=nowhere"))
    assert "nowhere does not exist or is not a folder: create it" in said
    assert "paths.data_dir" in said


def test_a_data_folder_that_is_a_file_is_named(workplace: Path) -> None:
    (workplace / "afile").write_text("x")
    assert "afile" in complaint(train(*LOCAL, "paths.data_dir=afile"))


@pytest.mark.usefixtures("workplace")
def test_an_empty_data_folder_is_told_what_belongs_there() -> None:
    assert "copy it there, or set task.data.source=download" in complaint(train(*LOCAL))


def test_an_output_folder_that_cannot_be_made_is_named(workplace: Path) -> None:
    (workplace / "afile").write_text("x")
    for place in ("afile/x", "afile"):
        assert f"{place} cannot be created" in complaint(train_by_hydra(*TINY, f"paths.output_dir={place}"))
    said = complaint(train("-m", *TINY, "seed=1,2", "paths.output_dir=afile"))
    assert "set paths.output_dir" in said


def test_a_cache_folder_that_cannot_be_made_is_named(workplace: Path) -> None:
    (workplace / "afile").write_text("x")
    said = complaint(train(*TINY, "paths.cache_dir=afile/x"))
    assert "afile/x cannot be written (not a directory): set paths.cache_dir" in said


def test_a_truncated_archive_is_told(workplace: Path) -> None:
    path = write_archive(workplace / "data" / ARCHIVE, reviews(40))
    path.write_bytes(path.read_bytes()[:-600])
    assert f"{path} is not a complete .tar.gz" in complaint(train(*LOCAL))


def test_an_archive_of_another_kind_is_told(workplace: Path) -> None:
    path = workplace / "data" / ARCHIVE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("aclImdb/train/neg/0_1.txt", "Dull.")
    assert f"{path} is not a complete .tar.gz" in complaint(train(*LOCAL))
    write_archive(path, ["something/else.txt"])
    assert f"{path} has no aclImdb/train" in complaint(train(*LOCAL))


def test_missing_reviews_are_counted(workplace: Path) -> None:
    path = write_archive(workplace / "data" / ARCHIVE, reviews(3)[:-1])
    said = complaint(train(*LOCAL))
    assert f"{path} should have 12,500 reviews in each class" in said
    assert "test/pos has 2" in said
    assert "should have 12,500 reviews" in complaint(sluice("prepare", "task.data.source=local"))
    assert not list(workplace.rglob("texts-*")), "nothing half prepared is left"


def test_a_damaged_archive_is_never_replaced_by_the_sample(workplace: Path) -> None:
    (workplace / "data" / ARCHIVE).write_bytes(b"\x1f\x8b broken")
    assert ARCHIVE in complaint(train(*SMALL, "task.data.source=auto"))
    assert runs_below(workplace) == []


@pytest.mark.usefixtures("workplace")
def test_prepare_never_falls_back_on_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data_dir: Path) -> None:
        raise UserError("no connection")

    monkeypatch.setattr(imdb, "download_imdb", refuse)
    assert "could not be downloaded" in complaint(sluice("prepare", "task=imdb"))


def test_prepared_texts_are_found_by_training(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = sluice("prepare", *SAMPLE, "embedding.size=4")
    assert ended.code == 0
    assert "200 texts" in ended.out
    monkeypatch.setattr(np, "save", full_disk)
    assert train(*TINY).code == 0, "nothing had to be written"


def test_truncated_cache_is_rebuilt_and_logged_once(workplace: Path) -> None:
    assert "rebuilding it" not in train(*TINY).err
    (file,) = (workplace / "data" / "cache").glob("*/train_ids.npy")
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    ended = train(*TINY)
    assert ended.code == 0
    assert ended.err.count("rebuilding it") == 1
    assert file.read_bytes() == whole
    assert "rebuilding it" not in train(*TINY).err


def test_a_full_disk_while_caching_leaves_nothing_behind(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(np, "save", full_disk)
        assert "the disk is full" in complaint(train(*TINY))
    assert not any((workplace / "data" / "cache").iterdir())
    assert train(*TINY).code == 0


def test_a_full_disk_while_saving_is_told(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "save", full_disk)
    assert "no space left on device" in complaint(train(*TINY))
    assert not list(workplace.rglob("*.ckpt*"))
