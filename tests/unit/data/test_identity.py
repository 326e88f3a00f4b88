"""What differs between the data of a checkpoint and the data of today, in words."""

from pathlib import Path

import pytest

from sluice.data import fingerprints
from sluice.data.fingerprints import SourceFile, Sources, fingerprint_of
from sluice.data.identity import DataIdentity, changes


def saved(folder: Path, *, recipe: str = "text", seed: int | None = None, text: str = "", **files: str) -> dict:
    """The identity of files with these contents, by role."""
    folder.mkdir(exist_ok=True)
    for role, content in files.items():
        (folder / f"{role}.txt").write_text(content)
    sources = Sources(recipe, tuple(SourceFile(role, folder / f"{role}.txt") for role in files), seed)
    return DataIdentity(fingerprint_of(sources, folder / "cache"), text_digest=text).saved()


def test_files_that_were_moved_are_the_same(tmp_path: Path) -> None:
    before = saved(tmp_path / "here", train="a", val="b")
    assert changes(before, saved(tmp_path / "there", train="a", val="b")) == []


def test_the_changed_file_is_named(tmp_path: Path) -> None:
    before = saved(tmp_path / "here", train="a", val="b")
    assert changes(before, saved(tmp_path / "here", train="a", val="c")) == [f"{tmp_path}/here/val.txt"]


def test_added_and_missing_files_are_named(tmp_path: Path) -> None:
    before = saved(tmp_path / "here", train="a", val="b")
    found = changes(before, saved(tmp_path / "here", train="a", test="b"))
    assert found == [f"{tmp_path}/here/test.txt", f"{tmp_path}/here/val.txt (no longer read)"]


def test_a_message_names_a_few_files(tmp_path: Path) -> None:
    before, now = ({f"part{number}": f"{content} {number}" for number in range(9)} for content in ("old", "new"))
    found = changes(saved(tmp_path, **before), saved(tmp_path, **now))
    assert found == [*(f"{tmp_path}/part{number}.txt" for number in range(5)), "4 more files"]


def test_other_differences_are_named(tmp_path: Path) -> None:
    before = saved(tmp_path, train="a", seed=1, text="x")
    assert changes(before, saved(tmp_path, train="a", seed=2, text="x")) == [
        "the seed of the generated data (1 then, 2 now)"
    ]
    assert "'table' now" in changes(before, saved(tmp_path, train="a", seed=1, text="x", recipe="table"))[0]
    assert changes(before, saved(tmp_path, train="a", seed=1, text="y")) == [
        "the split into training, validation and test"
    ]


def test_many_files_are_summed_up_by_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "MOST_FILES_NAMED", 2)
    before = saved(tmp_path / "here", train="a", val="b", test="c")
    assert len(before["files"]) == 1
    assert changes(before, saved(tmp_path / "there", train="a", val="b", test="c")) == []
    assert changes(before, saved(tmp_path / "here", train="a", val="b", test="d")) == [f"{tmp_path}/here"]
