"""Generated tagged sentences with tags determined by the context."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.data.corpus import SPLITS
from sluice.data.synthetic.tagging import FRAMES, NAMES, SampleTagging
from sluice.errors import UserError

SIZES = {"size": 300, "val_size": 50, "test_size": 80}
TAGS = ("O", *(f"{part}-{kind}" for kind in ("person", "place", "company") for part in "BI"))


def possible_taggings(words: tuple[str, ...]) -> set[tuple[str, ...]]:
    """All taggings that are possible with the templates and names."""
    name = "|".join(map(re.escape, NAMES))
    found = set()
    for frame in FRAMES:
        kinds = re.findall("<(.+?)>", frame)
        match = re.fullmatch(re.sub("<.+?>", f"({name})", frame), " ".join(words))
        if match:
            tags: list[str] = []
            names = list(zip(match.groups(), kinds, strict=True))
            for word in frame.split():
                own, kind = names.pop(0) if word.startswith("<") else ("", "")
                tags += [f"{'I' if index else 'B'}-{kind}" for index, _ in enumerate(own.split())] or ["O"]
            found.add(tuple(tags))
    return found


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_tags_are_determined_by_the_words(seed: int) -> None:
    for sentence in SampleTagging(**SIZES, seed=seed).sentences("val"):
        assert possible_taggings(sentence.words) == {sentence.tags}
        assert set(sentence.tags) <= set(TAGS)


def test_left_context_does_not_always_determine_the_tag() -> None:
    """A unidirectional model has to guess where a bidirectional one does not."""
    seen: dict[tuple[str, ...], set[str]] = {}
    for sentence in SampleTagging(size=5000).sentences("train"):
        for index, tag in enumerate(sentence.tags):
            if tag.startswith("B"):
                before = tuple(
                    "name" if own != "O" else word
                    for word, own in zip(sentence.words[:index], sentence.tags, strict=False)
                )
                seen.setdefault(before, set()).add(tag)
    assert seen[()] == seen["yesterday",] == seen["for", "years"] == {"B-person", "B-place", "B-company"}


def test_every_name_is_used_with_every_tag() -> None:
    sentences = list(SampleTagging(size=8000).sentences("train"))
    kinds = {(word, tag) for one in sentences for word, tag in zip(*one, strict=True) if tag.startswith("B")}
    assert kinds == {(name.split()[0], f"B-{kind}") for name in NAMES for kind in ("person", "place", "company")}


def test_splits_are_sized_disjoint_and_reproducible() -> None:
    drawn = {split: list(SampleTagging(**SIZES).sentences(split)) for split in SPLITS}
    assert {split: len(own) for split, own in drawn.items()} == {"train": 300, "val": 50, "test": 80}
    words = {split: {sentence.words for sentence in own} for split, own in drawn.items()}
    assert len(set.union(*words.values())) == sum(map(len, words.values()))
    assert drawn["val"] == list(SampleTagging(**SIZES).sentences("val"))
    assert drawn["val"] != list(SampleTagging(**SIZES, seed=1).sentences("val"))


def test_size_below_the_minimum_is_refused() -> None:
    with pytest.raises(UserError, match="val_size=0"):
        SampleTagging(val_size=0)
