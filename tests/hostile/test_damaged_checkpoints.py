"""Damaged files and invalid contents of checkpoints are detected before any of it is used."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from running import SMALL, TINY, Finished, error_of, json_lines, paths_in, sluice, train, trained
from stopping import stop_signal, stopped

TEXT = "It was moving, I loved it."


def flip(path: Path, part: float) -> None:
    """Flips a bit of the byte at a fraction of the file."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * part)] ^= 0x10
    path.write_bytes(bytes(content))


@pytest.fixture
def copied(finished: Finished, workdir: Path) -> Path:
    """A copy of the finished run that a test may damage."""
    shutil.copytree(finished.folder, workdir / "run")
    return workdir / "run"


def test_flipped_bit_is_detected(copied: Path) -> None:
    flip(copied / "best.ckpt", 0.5)
    assert "best.ckpt is truncated, corrupted or not a checkpoint" in error_of(sluice("predict", copied, TEXT))


@pytest.mark.parametrize("length", [0, 10, 1000])
def test_truncated_file_is_detected(copied: Path, length: int) -> None:
    best = copied / "best.ckpt"
    best.write_bytes(best.read_bytes()[:length])
    assert "best.ckpt is truncated, corrupted or not a checkpoint" in error_of(sluice("predict", copied, TEXT))


def test_damaged_last_checkpoint_falls_back_to_previous(workdir: Path) -> None:
    settings = (*TINY, "trainer.max_epochs=2", "checkpoint.every_steps=1", *paths_in(workdir), "name=a")
    with stopped(stop_signal, "on_train_batch_end", 2):
        assert train(*settings).code == 130
    run = workdir / "output" / "imdb" / "lstm" / "sample-a"
    flip(run / "last.ckpt", 0.5)
    ended = train(f"resume={run}", *paths_in(workdir))
    assert ended.code == 0, ended.err
    assert "last.ckpt is truncated, corrupted or not a checkpoint" in ended.err
    assert f"Resuming from {run / 'previous.ckpt'}." in ended.err


def repeat_a_token(saved: Any, state: Any) -> None:
    saved["vocab"][5] = saved["vocab"][4]


def make_a_token_a_number(saved: Any, state: Any) -> None:
    saved["vocab"][5] = 5


def make_labels_a_string(saved: Any, state: Any) -> None:
    saved["labels"] = "negpos"


def make_a_size_negative(saved: Any, state: Any) -> None:
    saved["config"]["model"]["hidden_size"] = -4


def make_a_size_huge(saved: Any, state: Any) -> None:
    saved["config"]["model"]["hidden_size"] = 10**7


def make_num_layers_huge(saved: Any, state: Any) -> None:
    saved["config"]["model"]["num_layers"] = 10**9


def name_an_unknown_tokenizer(saved: Any, state: Any) -> None:
    saved["config"]["task"]["text"]["tokenizer"] = "../../evil"


def make_a_weight_nan(saved: Any, state: Any) -> None:
    state["network.output.bias"][0] = torch.nan


def drop_a_weight(saved: Any, state: Any) -> None:
    del state["network.output.bias"]


CHANGES: dict[Callable[[Any, Any], None], str] = {
    repeat_a_token: "its vocab has duplicates",
    make_a_token_a_number: "its vocab is not a list of strings",
    make_labels_a_string: "its labels is not a list of strings",
    make_a_size_negative: "model.hidden_size=-4 cannot be used: it must be at least 1",
    make_a_size_huge: "its settings need",
    make_num_layers_huge: "model.num_layers=1000000000 cannot be used",
    name_an_unknown_tokenizer: "task.text.tokenizer=../../evil cannot be used",
    make_a_weight_nan: "output.bias has a weight that is NaN or infinite",
    drop_a_weight: "its settings need output.bias",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_invalid_contents_are_refused(copied: Path, change: Callable[[Any, Any], None]) -> None:
    path = copied / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint["sluice"], checkpoint["state_dict"])
    torch.save(checkpoint, path)
    assert CHANGES[change] in error_of(sluice("predict", copied, TEXT))


def test_paths_in_a_checkpoint_are_ignored(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = workdir / "own.txt"
    text.write_text("a b c d e f g h\n" * 200, encoding="utf-8")
    small = ("task=corpus", f"task.data.path={text}", "task.data.batch_size=2", "task.data.chunk_length=8")
    run = trained(workdir, *small, *SMALL).folder
    path = run / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    for name in ("cache_dir", "output_dir", "run_dir"):
        checkpoint["sluice"]["config"]["paths"][name] = str(workdir / "evil" / name)
    torch.save(checkpoint, path)
    ended = sluice("evaluate", run, "--json")
    assert ended.code == 0, ended.err
    assert not (workdir / "evil").exists()
    assert (workdir / "data" / "cache").is_dir()


def test_interpolations_in_a_checkpoint_are_not_resolved(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "leaked")
    path = copied / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["sluice"]["config"]["model"]["name"] = "${oc.env:SECRET}"
    checkpoint["sluice"]["config"]["paths"]["data_dir"] = "${oc.env:SECRET}/${no.such.key}"
    torch.save(checkpoint, path)
    ended = sluice("predict", copied, TEXT, "--json")
    assert len(json_lines(ended)) == 1
    assert "leaked" not in ended.out + ended.err
