"""Code, messages and test names use standard terms."""

from pathlib import Path

import pytest

from vocabulary import MAX_TEST_NAME, findings, report


def test_repository_has_no_private_phrases() -> None:
    assert report([]) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('"""It goes on."""\n', ["goes on"]),
        ("told = 1  # as told\n", ["told", "as told"]),
        ("def test_" + "x" * MAX_TEST_NAME + "() -> None: ...\n", ["test_" + "x" * MAX_TEST_NAME]),
        ('"""Resumes the run."""\nuntold = 1\n', []),
    ],
)
def test_private_phrases_are_found(tmp_path: Path, code: str, found: list[str]) -> None:
    file = tmp_path / "file.py"
    file.write_text(code, encoding="utf-8")
    assert [phrase for _, phrase, _ in findings(file)] == found


def test_yaml_files_are_searched(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text("# what a word becomes\nshare: 1\n", encoding="utf-8")
    assert [phrase for _, phrase, _ in findings(file)] == ["what a word becomes"]
