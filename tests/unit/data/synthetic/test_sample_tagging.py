"""Tagged sentences: user-supplied files, and generated sentences with tags determined by the context."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.data.corpora.readers import read_tagged
from sluice.data.corpus import SPLITS, TaggedSentence
from sluice.data.synthetic.tagging import FRAMES, NAMES, SampleTagging
from sluice.errors import UserError

SIZES = {"size": 300, "val_size": 50, "test_size": 80}
WORD = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=4).filter(
    lambda word: "\ufeff" not in word
)
SENTENCES = st.lists(st.lists(st.tuples(WORD, WORD), min_size=1, max_size=4), min_size=1, max_size=4)

TAGS = ("O", *(f"{part}-{kind}" for kind in ("person", "place", "company") for part in "BI"))


@settings(deadline=None)
@given(SENTENCES, st.sampled_from([" ", "\t", "   "]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_written_sentences_are_read(
    tmp_path_factory: pytest.TempPathFactory, sentences: list[list[tuple[str, str]]], gap: str, end: str, closed: bool
) -> None:
    blocks = [end.join(f"{word}{gap}{tag}" for word, tag in sentence) for sentence in sentences]
    path = tmp_path_factory.mktemp("tagged") / "own.txt"
    path.write_bytes(((end * 2).join(blocks) + (end * 3 if closed else "")).encode())
    expected = [TaggedSentence(*(tuple(column) for column in zip(*sentence, strict=True))) for sentence in sentences]
    assert list(read_tagged(path)) == expected


def test_words_may_contain_blanks_if_separated_by_tabs(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("New York\tplace\nis\tO\n")
    assert list(read_tagged(tmp_path / "own.txt")) == [TaggedSentence(("New York", "is"), ("place", "O"))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a X\nb\n", r"line 2: 1 column\(s\), expected 2"),
        (b"a X\n\nb X Y\n", r"line 3: 3 column\(s\), expected 2"),
        (b"a\tX\tY\n", r"line 1: 3 column\(s\), expected 2"),
        (b"", "has no sentences"),
        (b"\n \n\n", "has no sentences"),
        (b"a X\n\xff\xfe Y\n", r"is not UTF-8 at byte 4 \(line 2\)"),
    ],
)
def test_invalid_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "own.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_tagged(tmp_path / "own.txt"))


def test_missing_file_is_reported() -> None:
    with pytest.raises(UserError, match=r"nowhere\.txt cannot be read"):
        list(read_tagged(Path("nowhere.txt")))


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
