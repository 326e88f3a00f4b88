"""Decompression bombs in place of published archives are refused, and caches and patterns stay in their folder."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sluice.data.cache import CacheDamaged, CacheEntry, open_entry, write_entry
from sluice.data.corpora import multi30k, wikitext
from sluice.data.corpora.download import stream_tar_gz
from sluice.data.corpora.parallel_files import ParallelFiles
from sluice.data.corpora.text_files import TextFiles
from sluice.errors import UserError
from sluice.text.lines import MAX_EXPANSION, limit_size, read_lines

KNOWN = 10_000


def tar_gz(path: Path, size: int, *, claims: int | None = None) -> Path:
    """An archive with one file of zeros; its header may have another size."""
    info = tarfile.TarInfo("a.txt")
    info.size = size if claims is None else claims
    content = info.tobuf() + bytes(-(-size // 512) * 512) + bytes(1024)
    path.write_bytes(gzip.compress(content))
    return path


def test_archives_within_the_limit_are_read(tmp_path: Path) -> None:
    ((name, content),) = stream_tar_gz(tar_gz(tmp_path / "a.tar.gz", 3000), known_bytes=KNOWN)
    assert (name, len(content)) == ("a.txt", 3000)


@pytest.mark.parametrize(("size", "claims"), [(10**6, None), (100, 10**15)])
def test_archives_beyond_the_limit_are_refused(tmp_path: Path, size: int, claims: int | None) -> None:
    path = tar_gz(tmp_path / "a.tar.gz", size, claims=claims)
    with pytest.raises(UserError, match=r"expands to more than 0 MB, 4 times the size of the published archive"):
        list(stream_tar_gz(path, known_bytes=KNOWN))


def test_reading_stops_at_the_limit() -> None:
    class Endless(io.BytesIO):
        served = 0

        def read(self, size: int | None = -1) -> bytes:
            self.served += size or 0
            return bytes(size or 0)

    endless = Endless()
    with pytest.raises(UserError, match="expands to more than"):
        limit_size(endless, Path("bomb.gz"), KNOWN).read()
    assert endless.served < 2 * MAX_EXPANSION * KNOWN + io.DEFAULT_BUFFER_SIZE


def test_wikitext_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wikitext, "KNOWN_BYTES", KNOWN)
    with zipfile.ZipFile(tmp_path / wikitext.ARCHIVE_NAME, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in wikitext.FILES.values():
            archive.writestr(f"{wikitext.FOLDER_NAME}/{file}", bytes(10**6))
    found = wikitext.find_wikitext2(tmp_path)
    assert found is not None
    with pytest.raises(UserError, match="expands to more than"):
        list(found.lines())


def test_multi30k_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multi30k, "KNOWN_BYTES", KNOWN)
    for split in ("train", "val", "test_2016_flickr"):
        for language in ("de", "en"):
            (tmp_path / f"{split}.{language}.gz").write_bytes(gzip.compress(b"a" * 10**6 + b"\n"))
    found = multi30k.find_multi30k(tmp_path, ("de", "en"))
    assert found is not None
    with pytest.raises(UserError, match="expands to more than"):
        list(found.pairs())


def test_user_supplied_files_have_no_limit(tmp_path: Path) -> None:
    path = tmp_path / "own.gz"
    path.write_bytes(gzip.compress(b"word " * 10**6 + b"\n"))
    assert len(next(read_lines(path))) == 5 * 10**6
    assert ParallelFiles(train=(path, path)).known_bytes is None


@pytest.mark.parametrize("pattern", ["../*.txt", "a/../../*.txt", "/etc/*"])
def test_pattern_outside_the_folder_is_refused(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "outside.txt").write_text("secret\n", encoding="utf-8")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("text\n", encoding="utf-8")
    with pytest.raises(UserError, match="leaves the folder"):
        _ = TextFiles(tmp_path / "texts", pattern=pattern).description


def entry(tmp_path: Path) -> Path:
    write_entry(tmp_path / "entry", CacheEntry({"ids": np.arange(3)}, {"vocab": ["a"]}))
    return tmp_path / "entry"


def test_deeply_nested_cache_metadata_is_refused(tmp_path: Path) -> None:
    path = entry(tmp_path)
    (path / "meta.json").write_text("[" * 100_000 + "]" * 100_000, encoding="utf-8")
    with pytest.raises(CacheDamaged):
        open_entry(path)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", ".."])
def test_cache_cannot_refer_to_files_outside(tmp_path: Path, name: str) -> None:
    path = entry(tmp_path)
    meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
    meta["checksums"] = {name: next(iter(meta["checksums"].values()))}
    (path / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    with pytest.raises(CacheDamaged, match=r"invalid array name|unreadable"):
        open_entry(path)
