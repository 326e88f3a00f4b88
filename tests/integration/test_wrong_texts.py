"""One's own files, texts to predict, and checkpoints that are none."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from running import SMALL, Finished, complaint, sluice, train, write_table

TABLES = {
    "one_class.csv": (b"text,label\nfine,a\nfair,a\n", "has only the class 'a'"),
    "empty.csv": (b"", "has no rows"),
    "header.csv": (b"text,label\n", "has no rows"),
    "columns.csv": (b"body,label\nfine,a\nfair,b\n", "has no column 'text': choose one of 'body', 'label'"),
    "classes.csv": (b"text,class\nfine,a\nfair,b\n", "has no column 'label': choose one of 'text', 'class'"),
    "latin.csv": (b"text,label\nfine,a\nf\xe4r,b\n", "is not UTF-8 at byte 19 (line 3)"),
    "broken.jsonl": (b'{"text": "fine", "label": "a"}\n{"text": \n', "line 2: not valid JSON"),
    "few.csv": (b"text,label\nfine,a\nfair,b\n", "class 'a' has too few texts"),
    "kind.doc": (b"text,label\nfine,a\nfair,b\n", "has an unknown file type"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_used_is_told(workplace: Path, name: str) -> None:
    content, words = TABLES[name]
    (workplace / name).write_bytes(content)
    said = complaint(train(*SMALL, "task=reviews", f"task.data.path={name}"))
    assert words in said
    assert name in said or name == "few.csv"


@pytest.mark.usefixtures("workplace")
def test_a_table_that_is_missing_is_told() -> None:
    assert "nowhere.csv" in complaint(train(*SMALL, "task=reviews", "task.data.path=nowhere.csv"))
    assert "task.data.path is not set: give it as task.data.path=..." in complaint(train(*SMALL, "task=reviews"))


def test_texts_without_a_word_are_told(finished: Finished) -> None:
    assert "text 1 is empty" in complaint(sluice("predict", finished.folder, ""))
    assert "text 2 is empty" in complaint(sluice("predict", finished.folder, "good", "  "))
    assert "text 2 is empty" in complaint(sluice("predict", finished.folder, stdin="good\n\nbad\n"))


def test_no_text_at_all_is_told(finished: Finished, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    assert "there is no text to predict" in complaint(sluice("predict", finished.folder, stdin=""))
    assert "there is no text to predict" in complaint(sluice("predict", finished.folder, "--file", empty))


def test_texts_that_cannot_be_read_are_told(finished: Finished, tmp_path: Path) -> None:
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"f\xe4r\n")
    said = complaint(sluice("predict", finished.folder, "--file", tmp_path / "nowhere.txt"))
    assert "nowhere.txt cannot be read (no such file" in said
    assert "latin.txt is not UTF-8" in complaint(sluice("predict", finished.folder, "--file", latin))
    assert "standard input is not UTF-8" in complaint(sluice("predict", finished.folder, stdin=b"f\xe4r\n"))
    assert "not both" in complaint(sluice("predict", finished.folder, "good", "--file", latin))


def test_what_cannot_be_evaluated_on_is_told(finished: Finished, tmp_path: Path) -> None:
    odd = write_table(tmp_path / "odd.csv", [("fine", "pos"), ("so", "neutral")])
    said = complaint(sluice("evaluate", finished.folder, "--file", odd))
    assert "odd.csv, line 3: the model was not trained on the class 'neutral', only on neg, pos" in said
    assert "nowhere.csv" in complaint(sluice("evaluate", finished.folder, "--file", tmp_path / "nowhere.csv"))
    said = complaint(sluice("evaluate", finished.folder, "--file", odd, "--text-column", "body"))
    assert "has no column 'body'" in said
    assert "it must be one of train, val, test" in complaint(sluice("evaluate", finished.folder, "--split", "nonsense"))


CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "random bytes": lambda whole: random.Random(1).randbytes(600),
    "nothing": lambda whole: b"",
    "text": lambda whole: b"epoch,loss\n1,0.5\n",
    "its first half": lambda whole: whole[: len(whole) // 2],
    "all but its end": lambda whole: whole[:-20],
}


@pytest.mark.parametrize("content", CONTENTS)
def test_a_file_that_is_no_checkpoint_is_told(finished: Finished, tmp_path: Path, content: str) -> None:
    path = tmp_path / "best.ckpt"
    path.write_bytes(CONTENTS[content]((finished.folder / "best.ckpt").read_bytes()))
    expected = f"{path} is truncated, corrupted or not a checkpoint"
    assert expected in complaint(sluice("predict", path, "good"))
    assert expected in complaint(sluice("evaluate", tmp_path))


@pytest.mark.parametrize("content", [[1, 2], {"weights": 1}, {"state_dict": {}, "sluice": 3}], ids=str)
def test_a_checkpoint_of_another_program_is_told(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.ckpt")
    said = complaint(sluice("predict", tmp_path / "other.ckpt", "good"))
    assert "other.ckpt is not a Sluice checkpoint" in said


def test_places_without_a_checkpoint_are_told(finished: Finished, tmp_path: Path) -> None:
    assert f"{tmp_path} has no checkpoint" in complaint(sluice("predict", tmp_path, "good"))
    assert "nowhere: give a run folder" in complaint(sluice("evaluate", tmp_path / "nowhere"))


EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "another task": ({"schema": "translation"}, "unknown task 'translation': expected one of imdb, reviews"),
    "another task's settings": ({"schema": "reviews"}, "does not fit this version"),
    "a later format": ({"format": 99}, "has format 99, this version reads 2"),
    "other words": ({"vocab": ["<unk>", "<pad>", "film"]}, "its settings need embedding.table.weight of shape"),
    "no classes": ({"labels": None}, "is inconsistent or corrupted"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_checkpoint_that_does_not_fit_is_told(finished: Finished, tmp_path: Path, edit: str) -> None:
    checkpoint = torch.load(finished.folder / "best.ckpt", weights_only=True)
    change, words = EDITS[edit]
    checkpoint["sluice"] |= change
    torch.save(checkpoint, tmp_path / "edited.ckpt")
    assert words in complaint(sluice("predict", tmp_path / "edited.ckpt", "good"))


@pytest.mark.usefixtures("workplace")
def test_starting_from_what_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    (tmp_path / "some.ckpt").write_bytes(b"no weights")
    settings = (*SMALL, "task.data.source=sample", "task.data.sample_size=60")
    assert "some.ckpt is truncated, corrupted or not a checkpoint" in complaint(train(*settings, "init_from=some.ckpt"))
