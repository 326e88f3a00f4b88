"""Checkpoints are written atomically and verified."""

import errno
import io
import struct
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from sluice.callbacks.checkpoint_file import is_intact, write
from sluice.callbacks.checkpoints import AtomicCheckpointIO


def failing_save(content: Any, file: BinaryIO) -> None:
    """torch.save on a disk that is full after four bytes."""
    file.write(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_saved_checkpoint_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"weights": torch.arange(3)}, path)
    assert torch.load(path, weights_only=True)["weights"].tolist() == [0, 1, 2]
    assert list(path.parent.iterdir()) == [path]


def to_bytes(checkpoint: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    write(checkpoint, file)
    return file.getvalue()


def test_full_disk_raises_os_error() -> None:
    class Full(io.BytesIO):
        def write(self, content: Any) -> int:
            if self.tell() > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(content)

    with pytest.raises(OSError, match="No space left"):
        write({"weights": torch.zeros(10_000)}, Full())


def test_flipped_bytes_are_detected(tmp_path: Path) -> None:
    content = to_bytes({"weights": torch.arange(30.0), "words": ["a", "b"]})
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    assert is_intact(path)
    assert torch.load(path, weights_only=True)["words"] == ["a", "b"]
    for index in [*range(0, len(content), 7), *range(len(content) - 80, len(content))]:
        path.write_bytes(content[:index] + bytes([content[index] ^ 0x04]) + content[index + 1 :])
        assert not is_intact(path), index


@pytest.mark.parametrize("length", [0, 1, 50, 500, -1, -50, -100])
def test_truncated_file_is_detected(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(to_bytes({"weights": torch.arange(30.0)})[:length])
    assert not is_intact(path)


def test_damage_to_plain_torch_save_files_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"weights": torch.full((100,), 7.0)}, path)
    assert is_intact(path)
    content = path.read_bytes()
    index = content.index(struct.pack("<f", 7.0) * 9)
    path.write_bytes(content[:index] + b"x" + content[index + 1 :])
    assert not is_intact(path)


def test_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "save", failing_save)
    with pytest.raises(OSError, match="No space left"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "last.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    monkeypatch.setattr(torch, "save", failing_save)
    with pytest.raises(OSError, match="No space left"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, path)
    monkeypatch.undo()
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_next_save_removes_partial_file_of_a_killed_run(tmp_path: Path) -> None:
    (tmp_path / ".last.ckpt.1234567").write_bytes(b"half")
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, tmp_path / "last.ckpt")
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_open_reader_still_reads_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    with path.open("rb") as reader:
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, path)
        assert torch.load(reader, weights_only=True) == {"epoch": 1}
    assert torch.load(path, weights_only=True) == {"epoch": 2}


def test_ctrl_c_during_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
