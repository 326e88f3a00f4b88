"""Batches of words and context words: line boundaries, epochs, resuming; labelled texts as lines."""

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
    """A corpus of given lines."""

    name, description, sources = "file", "lines", Sources("lines")

    def __init__(self, train: list[str], held_out: list[str]) -> None:
        self.splits = {"train": train, "val": held_out, "test": held_out}

    def lines(self) -> list[Line]:
        return [Line(split, text) for split, texts in self.splits.items() for text in texts]


def make_data(
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
        block, centre, context = batch.blocks.pair_mask.nonzero(as_tuple=True)
        centres, contexts = batch.blocks.centres[block, centre], batch.blocks.contexts[block, context]
        found |= set(zip(*(data.prepared.vocab.decode(ids.tolist()) for ids in (centres, contexts)), strict=True))
    return found


def test_pairs_cross_line_ends_only_if_enabled(tmp_path: Path) -> None:
    assert ("e", "a") not in pairs_of(make_data(tmp_path), "train")
    assert ("e", "a") in pairs_of(make_data(tmp_path, across=True), "train")
    assert not any("<" in word for pair in pairs_of(make_data(tmp_path, across=True), "train") for word in pair)


def test_batches_count_their_pairs_and_words(tmp_path: Path) -> None:
    batches = list(make_data(tmp_path).loader("train"))
    assert sum(batch.tokens for batch in batches) == 300
    assert all(batch.pairs == batch.blocks.pairs == int(batch.blocks.pair_mask.sum()) for batch in batches)
    assert sum(map(len, batches)) == 5


def test_pairs_vary_by_epoch_in_training_only(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    for split in ("train", "val"):
        loader = data.loader(split)
        seen = []
        for epoch in (0, 1):
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
            seen.append(torch.cat([batch.blocks.pair_mask.flatten() for batch in loader]))
        assert torch.equal(*seen) == (split == "val")


def test_resumed_epoch_has_the_remaining_batches(tmp_path: Path) -> None:
    whole: list[WindowBatch] = list(make_data(tmp_path).train_dataloader())
    data = make_data(tmp_path)
    data.load_state_dict({"epoch": 0, "batch": 2})
    rest = list(data.train_dataloader())
    assert len(rest) == len(whole) - 2
    for one, other in zip(rest, whole[2:], strict=True):
        assert all(torch.equal(*parts) for parts in zip(one.blocks, other.blocks, strict=True))


def test_line_offsets_match_examples() -> None:
    assert line_offsets(np.array([5, 6, 3, 3, 7, 3], dtype=np.int32), 3).tolist() == [0, 3, 4, 6]
    assert line_offsets(np.array([5, 3, 7], dtype=np.int32), 3).tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held_out": "x y z"}, "no word of the val text is in the vocabulary"),
        ({"train": 10}, "too little train text: subsampling leaves 50 of 50 words"),
        ({"subsampling": 1e-4}, "set task.subsampling=0"),
    ],
)
def test_too_little_text_is_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_data(tmp_path, **options).windows("val")  # type: ignore[arg-type]


def test_each_review_is_one_line() -> None:
    reviews = SampleReviews(size=60)
    text = ReviewLines(reviews)
    lines, documents = list(text.lines()), list(reviews.documents())
    assert [line.text for line in lines] == [" ".join(document.text.split()) for document in documents]
    assert {line.split for line in lines} == {"train", "val", "test"}
    assert all(
        line.split == "test" for line, document in zip(lines, documents, strict=True) if document.split == "test"
    )
    assert text.name == "sample"
    assert fingerprint(text) != fingerprint(reviews)
