"""Batches of words and the words near them: borders of lines, epochs, going on; labelled texts as lines."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fingerprints import fingerprint
from sluice.data.corpora.imdb import ReviewLines
from sluice.data.corpus import Line, Sources
from sluice.data.running_text import StreamSettings
from sluice.data.synthetic.reviews import SampleReviews
from sluice.data.word2vec import WindowBatch, WindowData, WindowSettings, line_offsets
from sluice.errors import UserError


class Lines:
    """Lines made up on the spot."""

    name, description, sources = "file", "lines", Sources("lines")

    def __init__(self, train: list[str], held_out: list[str]) -> None:
        self.splits = {"train": train, "val": held_out, "test": held_out}

    def lines(self) -> list[Line]:
        return [Line(split, text) for split, texts in self.splits.items() for text in texts]


def data_of(
    home: Path, *, train: int = 60, held_out: str = "a b c d", across: bool = False, subsampling: float = 0
) -> WindowData:
    return WindowData(
        corpus=Lines(["a b c d e"] * train, [held_out] * 30),
        settings=StreamSettings(),
        windows=WindowSettings(window=2, subsampling=subsampling, across_lines=across),
        cache_dir=home,
        batch_size=1,
    )


def pairs_of(data: WindowData, split: str) -> set[tuple[str, str]]:
    """Centre and context of every pair, as words."""
    found = set()
    for batch in data.loader(split):
        block, centre, context = batch.blocks.near.nonzero(as_tuple=True)
        centres, contexts = batch.blocks.centres[block, centre], batch.blocks.contexts[block, context]
        found |= set(zip(*(data.prepared.vocab.decode(ids.tolist()) for ids in (centres, contexts)), strict=True))
    return found


def test_no_pair_reaches_over_the_end_of_a_line_unless_it_is_to(tmp_path: Path) -> None:
    assert ("e", "a") not in pairs_of(data_of(tmp_path), "train")
    assert ("e", "a") in pairs_of(data_of(tmp_path, across=True), "train")
    assert not any("<" in word for pair in pairs_of(data_of(tmp_path, across=True), "train") for word in pair)


def test_what_was_counted(tmp_path: Path) -> None:
    batches = list(data_of(tmp_path).loader("train"))
    assert sum(batch.tokens for batch in batches) == 300
    assert all(batch.pairs == batch.blocks.pairs == int(batch.blocks.near.sum()) for batch in batches)
    assert sum(map(len, batches)) == 5


def test_evaluation_sees_the_same_pairs_in_every_epoch_and_training_others(tmp_path: Path) -> None:
    data = data_of(tmp_path)
    for split in ("train", "val"):
        loader = data.loader(split)
        seen = []
        for epoch in (0, 1):
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
            seen.append(torch.cat([batch.blocks.near.flatten() for batch in loader]))
        assert torch.equal(*seen) == (split == "val")


def test_training_goes_on_with_the_batches_that_are_left(tmp_path: Path) -> None:
    whole: list[WindowBatch] = list(data_of(tmp_path).train_dataloader())
    data = data_of(tmp_path)
    data.load_state_dict({"epoch": 0, "batch": 2})
    rest = list(data.train_dataloader())
    assert len(rest) == len(whole) - 2
    for one, other in zip(rest, whole[2:], strict=True):
        assert all(torch.equal(*parts) for parts in zip(one.blocks, other.blocks, strict=True))


def test_where_lines_begin() -> None:
    assert line_offsets(np.array([5, 6, 3, 3, 7, 3], dtype=np.int32), 3).tolist() == [0, 3, 4, 6]
    assert line_offsets(np.array([5, 3, 7], dtype=np.int32), 3).tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held_out": "x y z"}, "the val text has no word of the vocabulary"),
        ({"train": 10}, "of the train text's 50 known words subsampling leaves 50, too few"),
        ({"subsampling": 1e-4}, "set task.subsampling=0"),
    ],
)
def test_texts_of_which_nothing_is_left(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        data_of(tmp_path, **options).windows("val")  # type: ignore[arg-type]


def test_reviews_as_lines_without_labels() -> None:
    reviews = SampleReviews(size=60)
    text = ReviewLines(reviews)
    lines, documents = list(text.lines()), list(reviews.documents())
    assert [line.text for line in lines] == [" ".join(document.text.split()) for document in documents]
    assert {line.split for line in lines} == {"train", "val", "test"}
    assert all(line.split == "test" for line, own in zip(lines, documents, strict=True) if own.split == "test")
    assert text.name == "sample"
    assert fingerprint(text) != fingerprint(reviews)
