"""Identity of training data: text hashes of the splits, and differences between identities."""

from pathlib import Path

import numpy as np
import pytest

from sluice.data import fingerprints
from sluice.data.corpus import SourceFile, Sources
from sluice.data.fingerprints import fingerprint_of
from sluice.data.identity import FILE_NAME, DataIdentity, SplitHashes, hashes_of, identity_changes, text_hash
from sluice.errors import UserError


def splits(**texts: str) -> SplitHashes:
    """Splits whose texts are single characters."""
    return SplitHashes({name: hashes_of((text,) for text in texts.get(name, "")) for name in ("train", "val", "test")})


def choose(stored: SplitHashes, split: str, **given: str) -> tuple[str, int]:
    """The characters selected from a corpus, and the number that are in no split."""
    rows = [(name, text) for name, texts in given.items() for text in texts]
    found = stored.select(split, np.array([name for name, _ in rows]), hashes_of((text,) for _, text in rows))
    return "".join(rows[row][1] for row in found.rows), found.left_out


@pytest.mark.parametrize(("one", "other"), [("a  b\n", " a b"), ("caf\u00e9", "cafe\u0301"), ("a\u00a0b", "a b")])
def test_text_hash_ignores_unicode_form_and_whitespace(one: str, other: str) -> None:
    assert text_hash(one) == text_hash(other)


def test_different_texts_have_different_hashes() -> None:
    ways = [("a b",), ("A b",), ("ab",), ("a", "b"), ("b", "a"), ("a b", ""), ("",)]
    assert len({text_hash(*parts) for parts in ways}) == len(ways)


def test_added_texts_are_excluded_and_counted() -> None:
    stored = splits(train="abc", val="d", test="ef")
    assert choose(stored, "test", train="xeadbfcy") == ("ef", 2)
    assert choose(stored, "val", train="fedcba") == ("d", 0)


def test_split_with_a_file_is_selected_from_it() -> None:
    stored = splits(train="abc", val="d", test="ea")
    assert choose(stored, "test", train="abcd", test="eax") == ("ea", 1)
    assert choose(stored, "train", train="abcdx", test="ea") == ("abc", 1)


def test_text_in_two_splits_is_selected_as_often_as_before() -> None:
    stored = splits(train="aab", val="a", test="c")
    assert choose(stored, "val", train="aaabc") == ("a", 0)
    assert choose(stored, "train", train="aaabc") == ("aab", 0)


def test_copies_added_since_are_excluded_and_counted() -> None:
    stored = splits(train="aab", val="d", test="ef")
    assert choose(stored, "test", train="aabdefeef") == ("ef", 3)
    assert choose(stored, "train", train="aabbaadef") == ("aab", 3)


def test_overlap_with_train_is_counted() -> None:
    assert splits(train="abc", val="aa", test="bcd").overlap_with_train() == {"val": 2, "test": 2}


def test_saved_hashes_can_be_loaded(tmp_path: Path) -> None:
    stored = splits(train="abc", val="d", test="ef")
    stored.save(tmp_path)
    assert SplitHashes.load(tmp_path / FILE_NAME, stored.digest).digest == stored.digest
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    before = (tmp_path / FILE_NAME).stat().st_mtime_ns
    stored.save(tmp_path)
    assert (tmp_path / FILE_NAME).stat().st_mtime_ns == before


@pytest.mark.parametrize("other", [splits(train="abcd", test="ef"), splits(train="acb", val="d", test="ef")])
def test_splits_of_another_run_are_refused(tmp_path: Path, other: SplitHashes) -> None:
    other.save(tmp_path)
    with pytest.raises(UserError, match="it belongs to another run"):
        SplitHashes.load(tmp_path / FILE_NAME, splits(train="abc", val="d", test="ef").digest)


@pytest.mark.parametrize("content", [b"", b"PK", b"random bytes"])
def test_corrupted_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(UserError, match="cannot be read or is corrupted"):
        SplitHashes.load(tmp_path / FILE_NAME, "0")


def saved_identity(
    folder: Path, *, recipe: str = "text", seed: int | None = None, text: str = "", **files: str
) -> dict:
    """The identity of files with these contents, by role."""
    folder.mkdir(exist_ok=True)
    for role, content in files.items():
        (folder / f"{role}.txt").write_text(content)
    sources = Sources(recipe, tuple(SourceFile(role, folder / f"{role}.txt") for role in files), seed)
    return DataIdentity(fingerprint_of(sources, folder / "cache"), text_digest=text).saved()


def test_moved_files_are_unchanged(tmp_path: Path) -> None:
    before = saved_identity(tmp_path / "here", train="a", val="b")
    assert identity_changes(before, saved_identity(tmp_path / "there", train="a", val="b")) == []


def test_changed_file_is_named(tmp_path: Path) -> None:
    before = saved_identity(tmp_path / "here", train="a", val="b")
    assert identity_changes(before, saved_identity(tmp_path / "here", train="a", val="c")) == [
        f"{tmp_path}/here/val.txt"
    ]


def test_added_and_missing_files_are_reported(tmp_path: Path) -> None:
    before = saved_identity(tmp_path / "here", train="a", val="b")
    found = identity_changes(before, saved_identity(tmp_path / "here", train="a", test="b"))
    assert found == [f"{tmp_path}/here/test.txt", f"{tmp_path}/here/val.txt (no longer read)"]


def test_message_names_a_few_files(tmp_path: Path) -> None:
    before, now = ({f"part{number}": f"{content} {number}" for number in range(9)} for content in ("old", "new"))
    found = identity_changes(saved_identity(tmp_path, **before), saved_identity(tmp_path, **now))
    assert found == [*(f"{tmp_path}/part{number}.txt" for number in range(5)), "4 more files"]


def test_changed_seed_recipe_and_split_are_reported(tmp_path: Path) -> None:
    before = saved_identity(tmp_path, train="a", seed=1, text="x")
    assert identity_changes(before, saved_identity(tmp_path, train="a", seed=2, text="x")) == [
        "the seed of the generated data (was 1, now 2)"
    ]
    assert (
        "now 'table'"
        in identity_changes(before, saved_identity(tmp_path, train="a", seed=1, text="x", recipe="table"))[0]
    )
    assert identity_changes(before, saved_identity(tmp_path, train="a", seed=1, text="y")) == [
        "the split into training, validation and test"
    ]


def test_many_files_are_recorded_by_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "MAX_FILE_DIGESTS", 2)
    before = saved_identity(tmp_path / "here", train="a", val="b", test="c")
    assert len(before["files"]) == 1
    assert identity_changes(before, saved_identity(tmp_path / "there", train="a", val="b", test="c")) == []
    assert identity_changes(before, saved_identity(tmp_path / "here", train="a", val="b", test="d")) == [
        f"{tmp_path}/here"
    ]
