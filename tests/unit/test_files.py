"""Files are written atomically."""

from pathlib import Path

import pytest

from sluice.files import atomic_file, write_atomically


@pytest.mark.parametrize("content", ["größer\n", b"\x00\xff"])
def test_write_replaces_the_content(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before", encoding="utf-8")
    write_atomically(path, content)
    assert path.read_bytes() == (content.encode("utf-8") if isinstance(content, str) else content)
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(TypeError), atomic_file(path) as file:
        file.write("no bytes")  # type: ignore[arg-type]
    assert path.read_text(encoding="utf-8") == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "a.txt", "text")
