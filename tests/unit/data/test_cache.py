"""Cache entries: atomic writes, checksums, built once."""

import errno
import json
import logging
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sluice.data.cache import LAYOUT, CacheDamaged, CacheEntry, entry_path, load_or_build, open_entry, write_entry
from sluice.errors import UserError

KEY = {"corpus": "abc", "min_freq": 2, "labels": ("neg", "pos")}


def content() -> CacheEntry:
    arrays = {
        "train_ids": np.arange(20, dtype=np.int32),
        "train_offsets": np.asarray([0, 12, 20], dtype=np.int64),
        "val_ids": np.zeros(0, dtype=np.int32),
    }
    return CacheEntry(arrays, {"vocab": ["<unk>", "<pad>", "été"], "fraction": 0.1})


def assert_is_content(entry: CacheEntry) -> None:
    expected = content()
    assert entry.info == expected.info
    assert entry.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        assert entry.arrays[name].dtype == array.dtype
        assert np.array_equal(entry.arrays[name], array)


def must_not_build() -> CacheEntry:
    raise AssertionError("built although it exists")


def failing(code: int) -> Callable[..., None]:
    """Returns a function that fails as on a full or read-only disk."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, {errno.ENOSPC: "No space left on device", errno.EROFS: "Read-only file system"}[code])

    return fail


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """Missing, like its parent: the first entry creates both."""
    return tmp_path / "data" / "cache"


@pytest.fixture
def path(cache_dir: Path) -> Path:
    return entry_path(cache_dir, "texts-sample", KEY)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Returns the warnings logged so far."""
    monkeypatch.setattr(logging.getLogger("sluice"), "propagate", True)
    caplog.set_level(logging.WARNING, logger="sluice.data.cache")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "sluice.data.cache"]


def cut_array(path: Path) -> None:
    file = path / "train_ids.npy"
    file.write_bytes(file.read_bytes()[:-8])


def empty_array(path: Path) -> None:
    (path / "train_ids.npy").write_bytes(b"")


def change_token(path: Path) -> None:
    file = path / "train_ids.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


def remove_array(path: Path) -> None:
    (path / "train_offsets.npy").unlink()


def remove_meta(path: Path) -> None:
    (path / "meta.json").unlink()


def raise_layout(path: Path) -> None:
    meta = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps(meta | {"layout": LAYOUT + 1}))


def change_vocab(path: Path) -> None:
    meta = json.loads((path / "meta.json").read_text())
    meta["info"]["vocab"][2] = "été!"
    (path / "meta.json").write_text(json.dumps(meta))


def become_a_file(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.write_text("not a folder")


DAMAGES = [cut_array, empty_array, change_token, remove_array, remove_meta, raise_layout, change_vocab, become_a_file]


class TestEntry:
    def test_written_entry_is_read_back(self, path: Path) -> None:
        write_entry(path, content())
        assert_is_content(open_entry(path))
        assert list(path.parent.iterdir()) == [path]

    def test_arrays_are_memory_mapped_and_read_only(self, path: Path) -> None:
        write_entry(path, content())
        for array in open_entry(path).arrays.values():
            assert isinstance(array, np.memmap)
            assert not array.flags.writeable

    @pytest.mark.parametrize("mode", [0o755, 0o700, 0o770])
    def test_mode_is_that_of_the_parent_folder(self, path: Path, mode: int) -> None:
        """A group may share one cache."""
        path.parent.mkdir(parents=True)
        path.parent.chmod(mode)
        write_entry(path, content())
        assert path.stat().st_mode & 0o777 == mode

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_corruption_is_detected(self, path: Path, damage: Callable[[Path], None]) -> None:
        write_entry(path, content())
        damage(path)
        with pytest.raises(CacheDamaged):
            open_entry(path)

    @pytest.mark.parametrize("file", ["train_ids.npy", "meta.json"])
    def test_any_changed_byte_is_detected(self, path: Path, file: str) -> None:
        """In the numbers, in an array's header (its type, its shape), in the vocabulary."""
        write_entry(path, content())
        whole = (path / file).read_bytes()
        for index in range(len(whole)):
            changed = bytearray(whole)
            changed[index] ^= 1
            (path / file).write_bytes(changed)
            with pytest.raises(CacheDamaged):
                open_entry(path)

    @pytest.mark.parametrize("meta", ["", "{", "null", "[]", "7", f'{{"layout": {LAYOUT}}}', "\0" * 40, "\ufffd"])
    def test_invalid_metadata_is_detected(self, path: Path, meta: str) -> None:
        write_entry(path, content())
        (path / "meta.json").write_text(meta)
        with pytest.raises(CacheDamaged):
            open_entry(path)

    @pytest.mark.parametrize("lost", ["checksums", "info", "info_checksum"])
    @pytest.mark.parametrize("value", [None, [], ["train_ids"], {"train_ids": None}])
    def test_metadata_of_wrong_type_is_detected(self, path: Path, lost: str, value: object) -> None:
        write_entry(path, content())
        meta = json.loads((path / "meta.json").read_text())
        (path / "meta.json").write_text(json.dumps(meta | {lost: value}))
        with pytest.raises(CacheDamaged):
            open_entry(path)

    def test_layout_error_names_both_versions(self, path: Path) -> None:
        write_entry(path, content())
        raise_layout(path)
        with pytest.raises(CacheDamaged, match=rf"layout {LAYOUT + 1} \(this version uses layout {LAYOUT}\)"):
            open_entry(path)


class TestLoadOrBuild:
    def test_entry_is_built_once(self, path: Path, warnings: Callable[[], list[str]]) -> None:
        assert_is_content(load_or_build(path, content))
        assert_is_content(load_or_build(path, must_not_build))
        assert warnings() == []

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_corrupted_entry_is_rebuilt_and_logged_once(
        self, path: Path, damage: Callable[[Path], None], warnings: Callable[[], list[str]]
    ) -> None:
        load_or_build(path, content)
        damage(path)
        assert_is_content(load_or_build(path, content))
        [warning] = warnings()
        assert str(path) in warning
        assert warning.endswith("rebuilding it.")
        assert_is_content(load_or_build(path, must_not_build))
        assert len(warnings()) == 1
        assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []

    def test_failed_build_leaves_nothing(self, path: Path) -> None:
        with pytest.raises(AssertionError, match="although it exists"):
            load_or_build(path, must_not_build)
        assert not path.parent.exists()


class TestDisk:
    def test_full_disk_is_reported(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(np, "save", failing(errno.ENOSPC))
        with pytest.raises(UserError, match=r"disk is full.*paths\.cache_dir"):
            load_or_build(path, content)
        assert list(path.parent.iterdir()) == []

    def test_full_disk_at_the_last_file_is_reported(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Path, "write_text", failing(errno.ENOSPC))
        with pytest.raises(UserError, match="disk is full"):
            load_or_build(path, content)
        assert list(path.parent.iterdir()) == []

    def test_full_disk_while_rebuilding_is_reported(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_entry(path, content())
        change_token(path)
        monkeypatch.setattr(np, "save", failing(errno.ENOSPC))
        with pytest.raises(UserError, match="disk is full"):
            load_or_build(path, content)
        assert list(path.parent.iterdir()) == [path]

    def test_read_only_disk_is_reported(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "mkdtemp", failing(errno.EROFS))
        with pytest.raises(UserError, match=r"cannot be written \(read-only file system\).*paths\.cache_dir"):
            load_or_build(path, content)

    def test_existing_entry_opens_on_a_read_only_disk(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_entry(path, content())
        monkeypatch.setattr(tempfile, "mkdtemp", failing(errno.EROFS))
        monkeypatch.setattr(Path, "mkdir", failing(errno.EROFS))
        assert_is_content(load_or_build(path, must_not_build))

    @pytest.mark.parametrize("below", [".", "deeper/still"])
    def test_cache_dir_that_is_a_file_is_reported(self, tmp_path: Path, below: str) -> None:
        (tmp_path / "cache").write_text("I was here first")
        path = entry_path(tmp_path / "cache" / below, "texts", KEY)
        with pytest.raises(UserError, match=r"cannot be written .*paths\.cache_dir"):
            load_or_build(path, content)
        assert (tmp_path / "cache").read_text() == "I was here first"


class TestConcurrentBuilders:
    def test_first_entry_stays(self, path: Path) -> None:
        """Another process may already have memory-mapped the first entry; deleting it fails on network disks."""
        made: list[int] = []

        def build() -> CacheEntry:
            write_entry(path, content())
            made.append(path.stat().st_ino)
            return content()

        assert_is_content(load_or_build(path, build))
        assert [path.stat().st_ino] == made
        assert list(path.parent.iterdir()) == [path]

    def test_entry_repaired_meanwhile_stays(self, path: Path, warnings: Callable[[], list[str]]) -> None:
        write_entry(path, content())
        change_token(path)
        repaired: list[int] = []

        def build() -> CacheEntry:
            write_entry(path, content())
            repaired.append(path.stat().st_ino)
            return content()

        assert_is_content(load_or_build(path, build))
        assert [path.stat().st_ino] == repaired
        assert len(warnings()) == 1

    def test_entry_written_just_before_the_move(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """After the second builder checked for an entry, before it moves its own there."""
        write_entry(path, content())
        first = path.stat().st_ino
        monkeypatch.setattr(Path, "exists", lambda _: False)
        assert_is_content(load_or_build(path, content))
        assert path.stat().st_ino == first
        assert list(path.parent.iterdir()) == [path]

    def test_all_builders_get_the_entry(self, path: Path) -> None:
        builders = 4
        together = threading.Barrier(builders, timeout=10)

        def build() -> CacheEntry:
            together.wait()
            return content()

        with ThreadPoolExecutor(builders) as pool:
            started = [pool.submit(load_or_build, path, build) for _ in range(builders)]
        for future in started:
            assert_is_content(future.result())
        assert list(path.parent.iterdir()) == [path]


class TestPath:
    def test_changed_setting_changes_the_path(self, cache_dir: Path) -> None:
        changed = [{"corpus": "abd"}, {"min_freq": 3}, {"min_freq": None}, {"labels": ("pos", "neg")}, {"new": 1}]
        paths = {entry_path(cache_dir, "texts", KEY | change) for change in [{}, *changed]}
        assert len(paths) == 1 + len(changed)

    def test_order_of_settings_does_not_matter(self, cache_dir: Path) -> None:
        assert entry_path(cache_dir, "texts", dict(reversed(KEY.items()))) == entry_path(cache_dir, "texts", KEY)
