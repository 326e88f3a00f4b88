"""The generated parallel corpus: the same every time, no sentence twice, and words in other orders."""

import pytest

from fingerprints import fingerprint
from sluice.data.synthetic.parallel import SampleParallel
from sluice.errors import UserError

SAMPLE = list(SampleParallel(size=1000).pairs())


def test_sizes() -> None:
    assert [sum(pair.split == split for pair in SAMPLE) for split in ("train", "val", "test")] == [1000, 125, 125]
    assert [pair.split for pair in SampleParallel(size=20).pairs()].count("val") == 50


def test_the_same_every_time_and_another_with_another_seed() -> None:
    assert list(SampleParallel(size=1000).pairs()) == SAMPLE
    assert list(SampleParallel(size=1000, seed=1).pairs()) != SAMPLE
    assert fingerprint(SampleParallel(seed=1)) != fingerprint(SampleParallel())


def test_no_sentence_comes_twice() -> None:
    assert len({pair.source for pair in SAMPLE}) == len({pair.target for pair in SAMPLE}) == len(SAMPLE)


def test_the_other_direction_has_the_same_pairs() -> None:
    turned = SampleParallel(size=1000, source_language="en", target_language="de")
    assert [(pair.target, pair.source) for pair in turned.pairs()] == [(pair.source, pair.target) for pair in SAMPLE]
    assert fingerprint(turned) != fingerprint(SampleParallel(size=1000))


def test_test_words_are_known_from_training() -> None:
    known = {word for pair in SAMPLE if pair.split == "train" for word in pair.source.lower().split()}
    new = {word for pair in SAMPLE if pair.split == "test" for word in pair.source.lower().split()} - known
    assert len(new) < 0.02 * len(known)


def test_a_words_place_does_not_say_where_its_translation_stands() -> None:
    """How far apart a word and its translation stand, on average."""
    nouns = {"Hund": "dog", "Katze": "cat", "Ball": "ball", "Fahrrad": "bicycle", "Gitarre": "guitar", "Pferd": "horse"}
    verbs = {"getragen": "carried", "gesehen": "saw", "gemalt": "painted", "gekauft": "bought", "verloren": "lost"}
    moved = {}
    for name, words in (("nouns", nouns), ("verbs", verbs)):
        distances = [
            abs(source.index(german) - target.index(english))
            for pair in SAMPLE
            for source, target in [(pair.source.rstrip(".").split(), pair.target.rstrip(".").split())]
            for german, english in words.items()
            if german in source and english in target
        ]
        moved[name] = sum(distances) / len(distances)
    assert moved["nouns"] > 1.5
    assert moved["verbs"] > 4


def test_articles_agree() -> None:
    text = " ".join(pair.source.lower() for pair in SAMPLE)
    assert "ein frau" not in text
    assert "eine mann" not in text
    assert " a old " not in " ".join(pair.target for pair in SAMPLE)


def test_wrong_settings() -> None:
    with pytest.raises(UserError, match="19 pairs, but size must be at least 20"):
        SampleParallel(size=19)
    with pytest.raises(UserError, match=r"no pair 'de' and 'fr'.*de and en"):
        SampleParallel(source_language="de", target_language="fr")
