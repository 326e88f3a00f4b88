"""WikiText-2: folder, archive, damaged copies, download, and sample."""

import hashlib
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fingerprints import fingerprint
from sluice.data.corpora import wikitext
from sluice.data.corpora.wikitext import FILES, WikiText2Text, download_wikitext2, find_wikitext2, resolve_wikitext2
from sluice.data.corpus import Line
from sluice.data.synthetic.reviews import SampleText
from sluice.errors import UserError

CONTENT = {
    "train": [" ", " = One = ", " ", " The <unk> is 1 @,@ 000 years old . "],
    "val": [" = Two = ", " Café . "],
    "test": [" = Three = "],
}
COUNTS = {split: len(lines) for split, lines in CONTENT.items()}


def file_content(split: str) -> bytes:
    return "".join(f"{line}\n" for line in CONTENT[split]).encode()


def write_folder(data_dir: Path) -> Path:
    folder = data_dir / "wikitext-2"
    folder.mkdir()
    for split, name in FILES.items():
        (folder / name).write_bytes(file_content(split))
    return folder


def write_archive(data_dir: Path, *, leave_out: str = "none", compression: int = zipfile.ZIP_DEFLATED) -> Path:
    path = data_dir / "wikitext-2-v1.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for split, name in FILES.items():
            if split != leave_out:
                archive.writestr(f"wikitext-2/{name}", file_content(split))
    return path


@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_folder_and_archive_give_the_same_lines(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    text = WikiText2Text(write(tmp_path), line_counts=COUNTS)
    expected = [Line(split, line) for split, lines in CONTENT.items() for line in lines]
    assert list(text.lines()) == expected
    assert list(text.lines()) == expected, "can be read twice"
    assert str(tmp_path) in text.description


def test_folder_is_preferred_to_the_archive(tmp_path: Path) -> None:
    assert find_wikitext2(tmp_path) is None
    archive = write_archive(tmp_path)
    found = find_wikitext2(tmp_path)
    assert found is not None
    assert (found.path, found.name) == (archive, "local")
    folder = write_folder(tmp_path)
    found = find_wikitext2(tmp_path)
    assert found is not None
    assert found.path == folder


@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_missing_lines_are_reported(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    text = WikiText2Text(write(tmp_path))
    with pytest.raises(UserError, match=r"wiki.train.tokens in .* has 4 lines instead of 36,718 as in WikiText-2"):
        list(text.lines())


def test_folder_with_a_missing_file_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / FILES["val"]).unlink()
    text = WikiText2Text(folder, line_counts=COUNTS)
    with pytest.raises(UserError, match=r"wiki.valid.tokens cannot be read \(no such file"):
        list(text.lines())
    with pytest.raises(UserError, match=r"wiki.valid.tokens cannot be read \(no such file"):
        _ = fingerprint(text)


def test_archive_with_a_missing_file_is_refused(tmp_path: Path) -> None:
    text = WikiText2Text(write_archive(tmp_path, leave_out="test"), line_counts=COUNTS)
    with pytest.raises(UserError, match=r"has no wikitext-2/wiki.test.tokens: replace it with the published archive"):
        list(text.lines())


def test_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path, compression=zipfile.ZIP_STORED)
    whole, text = path.read_bytes(), WikiText2Text(path, line_counts=COUNTS)
    for content in (whole[: len(whole) // 2], b"<html>Please log in</html>", b"", whole.replace(b"years", b"jahre")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"wikitext-2-v1.zip is not a complete .zip \(.*\): replace it"):
            list(text.lines())
    path.unlink()
    with pytest.raises(UserError, match=r"wikitext-2-v1.zip cannot be read \(no such file"):
        list(text.lines())


def test_invalid_text_in_the_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wikitext-2-v1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"wikitext-2/{FILES['train']}", b"one\n\xff\n")
    with pytest.raises(UserError, match=r"wiki.train.tokens in .*zip is not UTF-8 at byte 4 \(line 2\)"):
        list(WikiText2Text(path).lines())


@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_fingerprint_depends_on_the_content(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    before = fingerprint(WikiText2Text(path))
    assert fingerprint(WikiText2Text(path)) == before
    changed = path / FILES["test"] if path.is_dir() else path
    changed.write_bytes(changed.read_bytes() + b"more\n")
    assert fingerprint(WikiText2Text(path)) != before


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is refused."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(wikitext, "WIKITEXT2_URL", "http://127.0.0.1:1/wikitext-2-v1.zip")


def test_archive_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`fetch` itself is tested with the IMDB archive."""
    (tmp_path / "server").mkdir()
    (tmp_path / "data").mkdir()
    made, requested = write_archive(tmp_path / "server"), []

    def fetched(url: str, *, known_hash: str, folder: Path, name: str) -> Path:
        requested.append((url, known_hash))
        (folder / name).write_bytes(made.read_bytes())
        return folder / name

    monkeypatch.setattr(wikitext, "fetch", fetched)
    text = download_wikitext2(tmp_path / "data")
    assert (text.name, text.path) == ("download", tmp_path / "data" / "wikitext-2-v1.zip")
    assert requested == [(wikitext.WIKITEXT2_URL, wikitext.WIKITEXT2_HASH)]
    assert resolve_wikitext2(source="auto", data_dir=tmp_path / "data").name == "local"
    assert len(requested) == 1
    assert hashlib.md5(text.path.read_bytes()).digest() == hashlib.md5(made.read_bytes()).digest()


@pytest.mark.usefixtures("offline")
def test_offline_uses_the_sample_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        text = resolve_wikitext2(source="auto", data_dir=tmp_path, sample_size=40)
    assert text.name == "sample"
    assert "WikiText-2 could not be downloaded: no connection" in caplog.text
    with pytest.raises(UserError, match=r"run `sluice prepare task=wikitext2`"):
        resolve_wikitext2(source="auto", data_dir=tmp_path, may_fall_back=False)
    with pytest.raises(UserError, match=r"could not be downloaded"):
        resolve_wikitext2(source="download", data_dir=tmp_path)
    with pytest.raises(UserError, match=rf"no wikitext-2-v1.zip in {tmp_path}"):
        resolve_wikitext2(source="local", data_dir=tmp_path)


def test_sample_depends_on_size_and_seed_only() -> None:
    one, same, other = (SampleText(size=60, seed=seed) for seed in (1, 1, 2))
    lines = list(one.lines())
    assert lines == list(same.lines())
    assert lines != list(other.lines())
    assert fingerprint(one) == fingerprint(same)
    assert len({fingerprint(one), fingerprint(other), fingerprint(SampleText(size=80, seed=1))}) == 3
    counts = {split: sum(line.split == split for line in lines) for split in ("train", "val", "test")}
    assert counts["train"] + counts["val"] == 60
    assert counts["val"] == 6
    assert counts["test"] == 200
    assert all(line.text == " ".join(line.text.split()) and line.text for line in lines)
