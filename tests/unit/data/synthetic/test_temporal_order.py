"""The temporal order problem: levels, classes, splits, and custom ranges."""

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprints import fingerprint
from sluice.data.classification import TextSettings, prepare_corpus
from sluice.data.corpus import Document, LabelledCorpus
from sluice.data.synthetic.temporal_order import LEVELS, SYMBOLS, TemporalOrder
from sluice.errors import UserError
from sluice.text.tokenization import Tokenization

SMALL = {"size": 60, "val_size": 20, "test_size": 30}
EVERY_LEVEL = ["easy", "normal", "moderate", "hard", "nightmare"]
every_level = pytest.mark.parametrize("level", EVERY_LEVEL)


def documents(**options: object) -> list[Document]:
    return list(TemporalOrder(**{**SMALL, **options}).documents())  # type: ignore[arg-type]


def label_by_definition(text: str) -> str:
    """The class from the table of the paper."""
    first, second = re.findall("[XY]", text)
    return {("X", "X"): "Q", ("X", "Y"): "R", ("Y", "X"): "S", ("Y", "Y"): "U"}[first, second]


def test_levels_have_documented_ranges() -> None:
    assert list(LEVELS) == EVERY_LEVEL
    assert [level.lengths for level in LEVELS.values()] == [(7, 8), (30, 40), (60, 80), (100, 110), (300, 500)]
    assert [level.t1 for level in LEVELS.values()] == [(1, 2), (2, 5), (10, 20), (10, 20), (10, 80)]
    assert [level.t2 for level in LEVELS.values()] == [(4, 5), (20, 27), (45, 54), (50, 60), (250, 290)]


@every_level
@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 10_000))
def test_sequences_and_labels_match_the_level(level: str, seed: int) -> None:
    lengths, t1, t2 = LEVELS[level]
    labels = TemporalOrder.labels
    assert labels == ("Q", "R", "S", "U")
    for document in documents(level=level, seed=seed):
        symbols = document.text.split(" ")
        assert re.fullmatch("B[abcd]*[XY][abcd]*[XY][abcd]*E", "".join(symbols))
        assert lengths[0] <= len(symbols) <= lengths[1]
        first, second = (index for index, symbol in enumerate(symbols) if symbol in "XY")
        assert t1[0] <= first <= t1[1]
        assert t2[0] <= second <= t2[1]
        assert labels[document.label] == label_by_definition(document.text)


def test_positions_lengths_and_classes_are_covered() -> None:
    drawn = documents(level="normal", size=4000)
    texts = [document.text.split() for document in drawn]
    positions = [[index for index, symbol in enumerate(text) if symbol in "XY"] for text in texts]
    assert {len(text) for text in texts} == set(range(30, 41))
    assert {first for first, _ in positions} == {2, 3, 4, 5}
    assert {second for _, second in positions} == set(range(20, 28))
    counts = Counter(document.label for document in drawn)
    assert all(abs(counts[label] / len(drawn) - 0.25) < 0.04 for label in range(4))


@every_level
def test_splits_are_disjoint_and_have_their_sizes(level: str) -> None:
    texts = defaultdict(list)
    for document in documents(level=level):
        texts[document.split].append(document.text)
    assert {split: len(own) for split, own in texts.items()} == {"train": 60, "val": 20, "test": 30}
    train, val, test = (set(texts[split]) for split in ("train", "val", "test"))
    assert not train & val
    assert not train & test
    assert not val & test


def test_texts_depend_on_the_seed_only() -> None:
    assert documents(seed=3) == documents(seed=3)
    assert not {document.text for document in documents(seed=3)} & {document.text for document in documents(seed=4)}


def test_fingerprint_depends_on_all_settings() -> None:
    variants = [
        {},
        {"level": "easy"},
        {"seed": 1},
        {"size": 61},
        {"lengths": (30, 41)},
        {"t1": (2, 6)},
        {"easy_fraction": 0.5},
    ]
    assert len({fingerprint(TemporalOrder(**options)) for options in variants}) == len(variants)  # type: ignore[arg-type]
    assert fingerprint(TemporalOrder(level="easy")) == fingerprint(TemporalOrder(level="easy"))


def test_prepared_texts_decode_to_the_sequences(tmp_path: Path) -> None:
    corpus: LabelledCorpus = TemporalOrder(level="easy", **SMALL)  # type: ignore[arg-type]
    prepared = prepare_corpus(corpus, TextSettings(tokens=Tokenization(tokenizer="whitespace")), tmp_path)
    assert set(prepared.vocab.tokens) == {"<unk>", "<pad>", *SYMBOLS}
    assert {name: len(split.labels) for name, split in prepared.splits.items()} == {"train": 60, "val": 20, "test": 30}
    ids = prepared.splits["test"].texts
    decoded = [" ".join(prepared.vocab.decode(ids.flat[ids.offsets[i] : ids.offsets[i + 1]])) for i in range(len(ids))]
    assert decoded == [document.text for document in corpus.documents() if document.split == "test"]


def test_easier_sequences_are_added_to_training_only() -> None:
    drawn = documents(level="hard", easy_fraction=0.6, size=3000)
    by_split = defaultdict(list)
    for document in drawn:
        by_split[document.split].append(len(document.text.split()))
        assert TemporalOrder.labels[document.label] == label_by_definition(document.text)
    levels = Counter(
        next((name for name, level in LEVELS.items() if level.lengths[0] <= length <= level.lengths[1]), "none")
        for length in by_split["train"]
    )
    assert levels["hard"] / 3000 == pytest.approx(0.4, abs=0.04)
    assert all(levels[easier] / 3000 == pytest.approx(0.2, abs=0.04) for easier in ("easy", "normal", "moderate"))
    assert min(by_split["val"] + by_split["test"]) >= 100
    texts = [{document.text for document in drawn if document.split == split} for split in ("train", "val", "test")]
    assert len(set.union(*texts)) == sum(map(len, texts))


def test_custom_ranges_replace_those_of_the_level() -> None:
    drawn = documents(lengths=[9, 9], t1=[1, 1], t2=(7, 7))
    assert all(re.fullmatch("B [XY]( [abcd]){5} [XY] E", document.text) for document in drawn)
    assert "altered" in TemporalOrder(t1=(3, 3)).description
    assert "normal" in TemporalOrder().description


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"level": "insane"}, "unknown level 'insane': expected one of easy, normal, moderate, hard, nightmare"),
        ({"t2": (3, 9)}, "t2=3 is not after t1=5"),
        ({"t1": (2, 25)}, "t2=20 is not after t1=25"),
        ({"t1": (0, 3)}, r"t1=\[0,3\] must begin at 1"),
        ({"t2": (20, 29)}, "t2=29 is outside a sequence of 30 symbols"),
        ({"lengths": (40, 30)}, r"lengths=\[40,30\] is reversed"),
        ({"size": 0}, "size=0 is too small"),
        ({"easy_fraction": 1.5}, r"easy_fraction=1\.5 cannot be used"),
        ({"level": "easy", "easy_fraction": 0.5}, "no level is easier than easy"),
    ],
)
def test_invalid_settings_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TemporalOrder(**wrong)  # type: ignore[arg-type]
