"""The Penn Treebank: folder, archive, damaged copies, download, and sample."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fingerprints import fingerprint
from sluice.data.corpora import penn_treebank
from sluice.data.corpora.penn_treebank import (
    FILES,
    HASHES,
    PTB_URL,
    PennTreebankText,
    download_ptb,
    find_ptb,
    resolve_ptb,
)
from sluice.data.corpus import Line
from sluice.errors import UserError

CONTENT = {
    "train": [" aer banknote <unk> ", " mr. N years "],
    "val": [" consumers may "],
    "test": [" no it was n't ", " black monday ", " but "],
}
COUNTS = {split: len(lines) for split, lines in CONTENT.items()}


def file_content(split: str) -> bytes:
    return "".join(f"{line}\n" for line in CONTENT[split]).encode()


def write_folder(data_dir: Path) -> Path:
    folder = data_dir / "ptb"
    folder.mkdir()
    for split, name in FILES.items():
        (folder / name).write_bytes(file_content(split))
    return folder


def write_archive(data_dir: Path, *, leave_out: str = "none") -> Path:
    """An archive like Mikolov's, with other files besides the three."""
    path = data_dir / "simple-examples.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for split in ("val", "test", "train"):
            for name in (FILES[split], f"{FILES[split]}.html"):
                if split != leave_out:
                    member = tarfile.TarInfo(f"./simple-examples/data/{name}")
                    member.size = len(file_content(split))
                    archive.addfile(member, io.BytesIO(file_content(split)))
    return path


def by_split(lines: list[Line]) -> dict[str, list[str]]:
    return {split: [line.text for line in lines if line.split == split] for split in CONTENT}


@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_folder_and_archive_give_the_same_lines(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    text = PennTreebankText(write(tmp_path), line_counts=COUNTS)
    assert by_split(list(text.lines())) == CONTENT
    assert by_split(list(text.lines())) == CONTENT, "can be read twice"
    assert str(tmp_path) in text.description


def test_folder_is_preferred_to_files_and_archive(tmp_path: Path) -> None:
    paths = [write_archive(tmp_path), tmp_path, tmp_path / "ptb"]
    assert find_ptb(tmp_path / "none") is None
    assert (found := find_ptb(tmp_path)) is not None
    assert (found.path, found.name) == (paths[0], "local")
    for split, name in FILES.items():
        (tmp_path / name).write_bytes(file_content(split))
    assert (found := find_ptb(tmp_path)) is not None
    assert found.path == paths[1]
    write_folder(tmp_path)
    assert (found := find_ptb(tmp_path)) is not None
    assert found.path == paths[2]
    (tmp_path / "ptb" / FILES["test"]).unlink()
    assert (found := find_ptb(tmp_path)) is not None
    assert found.path == paths[1], "incomplete folders are ignored"


@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_missing_lines_are_reported(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    with pytest.raises(UserError, match=r"ptb.train.txt in .* has 2 lines instead of 42,068 as in the Penn Treebank"):
        list(PennTreebankText(write(tmp_path)).lines())


def test_archive_with_a_missing_file_is_refused(tmp_path: Path) -> None:
    text = PennTreebankText(write_archive(tmp_path, leave_out="test"), line_counts=COUNTS)
    with pytest.raises(UserError, match=r"ptb.test.txt in .*simple-examples.tgz has 0 lines"):
        list(text.lines())


def test_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"is not a complete .tar.gz"):
        list(PennTreebankText(path, line_counts=COUNTS).lines())


@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_fingerprint_depends_on_the_content(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    before = fingerprint(PennTreebankText(path))
    assert fingerprint(PennTreebankText(path)) == before
    changed = path / FILES["val"] if path.is_dir() else path
    changed.write_bytes(changed.read_bytes() + b"more\n")
    assert fingerprint(PennTreebankText(path)) != before


class Server:
    """Replaces `fetch`; has some of the files and records requests."""

    def __init__(self, names: list[str]) -> None:
        self.content = {FILES[split]: file_content(split) for split in FILES if FILES[split] in names}
        self.requested: list[str] = []

    def __call__(self, url: str, *, known_hash: str, folder: Path, name: str) -> Path:
        self.requested.append(name)
        split = next(split for split, file in FILES.items() if file == name)
        assert (url, known_hash) == (PTB_URL + name, HASHES[split])
        if name not in self.content:
            raise UserError(f"{url} could not be downloaded")
        (folder / name).write_bytes(self.content[name])
        return folder / name


def test_three_files_are_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(list(FILES.values()))
    monkeypatch.setattr(penn_treebank, "fetch", server)
    text = resolve_ptb(source="auto", data_dir=tmp_path)
    assert text.name == "download"
    assert server.requested == list(FILES.values())
    assert isinstance(text, PennTreebankText)
    assert by_split(list(PennTreebankText(text.path, line_counts=COUNTS).lines())) == CONTENT
    assert resolve_ptb(source="auto", data_dir=tmp_path).name == "local"
    assert len(server.requested) == 3


def test_interrupted_download_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(penn_treebank, "fetch", Server([FILES["train"]]))
    with pytest.raises(UserError, match="could not be downloaded"):
        download_ptb(tmp_path)
    assert find_ptb(tmp_path) is None
    server = Server(list(FILES.values()))
    monkeypatch.setattr(penn_treebank, "fetch", server)
    assert download_ptb(tmp_path).path == tmp_path / "ptb"
    assert server.requested == [FILES["val"], FILES["test"]]


def test_failed_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(penn_treebank, "fetch", Server([]))
    with pytest.raises(UserError, match="could not be downloaded"):
        download_ptb(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert resolve_ptb(source="auto", data_dir=tmp_path, sample_size=40).name == "sample"
    with pytest.raises(UserError, match=r"the data folder .*none does not exist"):
        download_ptb(tmp_path / "none")


def test_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "ptb").touch()
    with pytest.raises(UserError, match=r"ptb cannot be created \(file exists\): set another folder"):
        download_ptb(tmp_path)


def test_local_names_the_expected_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"there is no ptb/ with ptb.train.txt, .* in {tmp_path}: copy it there"):
        resolve_ptb(source="local", data_dir=tmp_path)
