"""Checkpoints are whole, or not there."""

import errno
import io
import struct
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from sluice.callbacks.checkpoint_file import is_intact, write
from sluice.callbacks.checkpoints import AtomicCheckpointIO


def broken_off(content: Any, file: BinaryIO) -> None:
    """torch.save on a disk that is full after four bytes."""
    file.write(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_saved_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"weights": torch.arange(3)}, path)
    assert torch.load(path, weights_only=True)["weights"].tolist() == [0, 1, 2]
    assert list(path.parent.iterdir()) == [path]


def to_bytes(checkpoint: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    write(checkpoint, file)
    return file.getvalue()


def test_a_full_disk_is_an_error_of_the_file() -> None:
    class Full(io.BytesIO):
        def write(self, content: Any) -> int:
            if self.tell() > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(content)

    with pytest.raises(OSError, match="No space left"):
        write({"weights": torch.zeros(10_000)}, Full())


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    content = to_bytes({"weights": torch.arange(30.0), "words": ["a", "b"]})
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    assert is_intact(path)
    assert torch.load(path, weights_only=True)["words"] == ["a", "b"]
    for place in [*range(0, len(content), 7), *range(len(content) - 80, len(content))]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x04]) + content[place + 1 :])
        assert not is_intact(path), place


@pytest.mark.parametrize("length", [0, 1, 50, 500, -1, -50, -100])
def test_a_cut_file_is_noticed(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(to_bytes({"weights": torch.arange(30.0)})[:length])
    assert not is_intact(path)


def test_a_file_of_an_earlier_version_is_checked_by_its_records(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"weights": torch.full((100,), 7.0)}, path)
    assert is_intact(path)
    content = path.read_bytes()
    place = content.index(struct.pack("<f", 7.0) * 9)
    path.write_bytes(content[:place] + b"x" + content[place + 1 :])
    assert not is_intact(path)


def test_a_failure_midway_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "save", broken_off)
    with pytest.raises(OSError, match="No space left"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "last.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_midway_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    monkeypatch.setattr(torch, "save", broken_off)
    with pytest.raises(OSError, match="No space left"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, path)
    monkeypatch.undo()
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_unfinished_is_gone_with_the_next(tmp_path: Path) -> None:
    (tmp_path / ".last.ckpt.1234567").write_bytes(b"half")
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, tmp_path / "last.ckpt")
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    with path.open("rb") as reader:
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, path)
        assert torch.load(reader, weights_only=True) == {"epoch": 1}
    assert torch.load(path, weights_only=True) == {"epoch": 2}


def test_ctrl_c_midway_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(content: Any, file: BinaryIO) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, path)
    monkeypatch.undo()
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]
