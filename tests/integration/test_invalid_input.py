"""Invalid data files, texts to predict and checkpoints are reported."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from running import SMALL, Finished, error_of, sluice, train, write_table

TABLES = {
    "one_class.csv": (b"text,label\nfine,a\nfair,a\n", "has only the class 'a'"),
    "empty.csv": (b"", "has no rows"),
    "header.csv": (b"text,label\n", "has no rows"),
    "columns.csv": (b"body,label\nfine,a\nfair,b\n", "has no column 'text' in its header, only 'body', 'label'"),
    "classes.csv": (b"text,class\nfine,a\nfair,b\n", "has no column 'label' in its header, only 'text', 'class'"),
    "latin.csv": (b"text,label\nfine,a\nf\xe4r,b\n", "is not UTF-8 at byte 19 (line 3)"),
    "broken.jsonl": (b'{"text": "fine", "label": "a"}\n{"text": \n', "line 2: not valid JSON"),
    "few.csv": (b"text,label\nfine,a\nfair,b\n", "class 'a' has too few texts"),
    "kind.doc": (b"text,label\nfine,a\nfair,b\n", "has an unknown file type"),
}


@pytest.mark.parametrize("name", TABLES)
def test_invalid_table_is_reported(workdir: Path, name: str) -> None:
    content, words = TABLES[name]
    (workdir / name).write_bytes(content)
    error = error_of(train(*SMALL, "task=reviews", f"task.data.path={name}"))
    assert words in error
    assert name in error or name == "few.csv"


@pytest.mark.usefixtures("workdir")
def test_missing_table_is_reported() -> None:
    assert "nowhere.csv" in error_of(train(*SMALL, "task=reviews", "task.data.path=nowhere.csv"))
    assert "task.data.path is not set: give it as task.data.path=..." in error_of(train(*SMALL, "task=reviews"))


def test_empty_texts_are_reported(finished: Finished) -> None:
    assert "text 1 is empty" in error_of(sluice("predict", finished.folder, ""))
    assert "text 2 is empty" in error_of(sluice("predict", finished.folder, "good", "  "))


def test_no_input_is_reported(finished: Finished, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    assert "there is no text to predict" in error_of(sluice("predict", finished.folder, stdin=""))
    assert "there is no text to predict" in error_of(sluice("predict", finished.folder, "--file", empty))


def test_unreadable_texts_are_reported(finished: Finished, tmp_path: Path) -> None:
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"f\xe4r\n")
    error = error_of(sluice("predict", finished.folder, "--file", tmp_path / "nowhere.txt"))
    assert "nowhere.txt cannot be read (no such file" in error
    assert "latin.txt is not UTF-8" in error_of(sluice("predict", finished.folder, "--file", latin))
    assert "standard input is not UTF-8" in error_of(sluice("predict", finished.folder, stdin=b"f\xe4r\n"))
    assert "not both" in error_of(sluice("predict", finished.folder, "good", "--file", latin))


def test_invalid_evaluation_data_is_reported(finished: Finished, tmp_path: Path) -> None:
    odd = write_table(tmp_path / "odd.csv", [("fine", "pos"), ("so", "neutral")])
    error = error_of(sluice("evaluate", finished.folder, "--file", odd))
    assert "odd.csv, line 3: the model was not trained on the class 'neutral', only on neg, pos" in error
    assert "nowhere.csv" in error_of(sluice("evaluate", finished.folder, "--file", tmp_path / "nowhere.csv"))
    error = error_of(sluice("evaluate", finished.folder, "--file", odd, "--text-column", "body"))
    assert "has no column 'body'" in error
    assert "it must be one of train, val, test" in error_of(sluice("evaluate", finished.folder, "--split", "nonsense"))


CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "random bytes": lambda whole: random.Random(1).randbytes(600),
    "empty": lambda whole: b"",
    "text": lambda whole: b"epoch,loss\n1,0.5\n",
    "first half": lambda whole: whole[: len(whole) // 2],
    "truncated end": lambda whole: whole[:-20],
}


@pytest.mark.parametrize("content", CONTENTS)
def test_invalid_checkpoint_file_is_reported(finished: Finished, tmp_path: Path, content: str) -> None:
    path = tmp_path / "best.ckpt"
    path.write_bytes(CONTENTS[content]((finished.folder / "best.ckpt").read_bytes()))
    expected = f"{path} is truncated, corrupted or not a checkpoint"
    assert expected in error_of(sluice("predict", path, "good"))
    assert expected in error_of(sluice("evaluate", tmp_path))


@pytest.mark.parametrize("content", [[1, 2], {"weights": 1}, {"state_dict": {}, "sluice": 3}], ids=str)
def test_checkpoint_of_another_program_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.ckpt")
    error = error_of(sluice("predict", tmp_path / "other.ckpt", "good"))
    assert "other.ckpt is not a Sluice checkpoint" in error


def test_folder_without_checkpoint_is_reported(finished: Finished, tmp_path: Path) -> None:
    assert f"{tmp_path} has no checkpoint" in error_of(sluice("predict", tmp_path, "good"))
    assert "nowhere: give a run folder" in error_of(sluice("evaluate", tmp_path / "nowhere"))


EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "another task": ({"schema": "translation"}, "unknown task 'translation': expected one of imdb, reviews"),
    "another task's settings": ({"schema": "reviews"}, "does not fit this version"),
    "later format": ({"format": 99}, "has format 99, this version reads 2"),
    "other vocabulary": ({"vocab": ["<unk>", "<pad>", "film"]}, "its settings need embedding.table.weight of shape"),
    "no labels": ({"labels": None}, "is inconsistent or corrupted"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_inconsistent_checkpoint_is_refused(finished: Finished, tmp_path: Path, edit: str) -> None:
    checkpoint = torch.load(finished.folder / "best.ckpt", weights_only=True)
    change, words = EDITS[edit]
    checkpoint["sluice"] |= change
    torch.save(checkpoint, tmp_path / "edited.ckpt")
    assert words in error_of(sluice("predict", tmp_path / "edited.ckpt", "good"))


@pytest.mark.usefixtures("workdir")
def test_init_from_invalid_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "some.ckpt").write_bytes(b"no weights")
    settings = (*SMALL, "task.data.source=sample", "task.data.sample_size=60")
    assert "init_from=some.ckpt is not a checkpoint" in error_of(train(*settings, "init_from=some.ckpt"))
