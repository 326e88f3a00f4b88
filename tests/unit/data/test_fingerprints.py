"""Content hashes of files: cached by size, mtime and inode; other processes wait for rank 0."""

import hashlib
import os
from pathlib import Path

import pytest

from sluice.data import fingerprints as file_hashes
from sluice.data.fingerprints import FOLDER, FileHashes
from sluice.errors import UserError

LONG_AGO = (10**18, 10**18)


def write(path: Path, content: bytes) -> Path:
    """Writes a file with an old mtime."""
    path.write_bytes(content)
    os.utime(path, ns=LONG_AGO)
    return path


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were hashed."""
    names: list[str] = []
    compute = file_hashes._sha256

    def recorded(path: Path) -> str:
        names.append(path.name)
        return compute(path)

    monkeypatch.setattr(file_hashes, "_sha256", recorded)
    return names


def test_unchanged_files_are_hashed_once(tmp_path: Path, computed: list[str]) -> None:
    paths = [write(tmp_path / name, name.encode()) for name in ("a", "b")]
    expected = [hashlib.sha256(name).hexdigest() for name in (b"a", b"b")]
    for _ in range(2):
        assert FileHashes(tmp_path / "cache").of(paths) == expected
    assert computed == ["a", "b"]


def test_only_changed_files_are_hashed_again(tmp_path: Path, computed: list[str]) -> None:
    paths = [write(tmp_path / name, b"same") for name in ("a", "b")]
    before = FileHashes(tmp_path / "cache").of(paths)
    write(tmp_path / "b", b"longer")
    after = FileHashes(tmp_path / "cache").of(paths)
    assert computed == ["a", "b", "b"]
    assert (after[0], after[1] != before[1]) == (before[0], True)


def test_touching_and_moving_keep_the_hash(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"text")
    (before,) = FileHashes(tmp_path / "cache").of([path])
    os.utime(path)
    moved = path.rename(tmp_path / "moved")
    assert FileHashes(tmp_path / "cache").of([moved]) == [before]


def test_recently_written_file_is_hashed_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    stat = path.stat()
    (before,) = FileHashes(tmp_path / "cache").of([path])
    path.write_bytes(b"two")  # within the clock's resolution: same size, mtime and inode
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert FileHashes(tmp_path / "cache").of([path]) != [before]


def test_other_processes_wait_for_rank_zero(
    tmp_path: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a", b"text")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("sluice.data.rank_zero_first.WAIT_SECONDS", 0.0)
    with pytest.raises(UserError, match="the content hash of"):
        FileHashes(tmp_path / "cache").of([path])
    monkeypatch.setenv("LOCAL_RANK", "0")
    first = FileHashes(tmp_path / "cache").of([path])
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert FileHashes(tmp_path / "cache").of([path]) == first
    assert computed == ["a"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a": 3}', b'{"a": [1, 2]}'])
def test_corrupted_index_is_rewritten(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "a", b"text")
    expected = FileHashes(tmp_path / "cache").of([path])
    (index,) = (tmp_path / "cache" / FOLDER).iterdir()
    whole = index.read_bytes()
    index.write_bytes(content)
    assert FileHashes(tmp_path / "cache").of([path]) == expected
    assert len(index.read_bytes()) == len(whole)


def test_unwritable_cache_is_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"text")
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert FileHashes(tmp_path / "cache").of([path]) == [hashlib.sha256(b"text").hexdigest()]
