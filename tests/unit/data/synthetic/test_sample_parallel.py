"""The generated parallel corpus: sizes, seeds, no duplicates, and word order."""

import pytest

from fingerprints import fingerprint
from sluice.data.synthetic.parallel import SampleParallel
from sluice.errors import UserError

SAMPLE = list(SampleParallel(size=1000).pairs())


def test_splits_have_expected_sizes() -> None:
    assert [sum(pair.split == split for pair in SAMPLE) for split in ("train", "val", "test")] == [1000, 125, 125]
    assert [pair.split for pair in SampleParallel(size=20).pairs()].count("val") == 50


def test_pairs_depend_on_the_seed_only() -> None:
    assert list(SampleParallel(size=1000).pairs()) == SAMPLE
    assert list(SampleParallel(size=1000, seed=1).pairs()) != SAMPLE
    assert fingerprint(SampleParallel(seed=1)) != fingerprint(SampleParallel())


def test_pairs_are_distinct() -> None:
    assert len({pair.source for pair in SAMPLE}) == len({pair.target for pair in SAMPLE}) == len(SAMPLE)


def test_reverse_direction_has_the_same_pairs() -> None:
    turned = SampleParallel(size=1000, source_language="en", target_language="de")
    assert [(pair.target, pair.source) for pair in turned.pairs()] == [(pair.source, pair.target) for pair in SAMPLE]
    assert fingerprint(turned) != fingerprint(SampleParallel(size=1000))


def test_words_of_the_test_occur_in_training() -> None:
    known = {word for pair in SAMPLE if pair.split == "train" for word in pair.source.lower().split()}
    new = {word for pair in SAMPLE if pair.split == "test" for word in pair.source.lower().split()} - known
    assert len(new) < 0.02 * len(known)


def test_words_and_their_translations_are_far_apart() -> None:
    """Mean distance between the positions of a word and of its translation."""
    nouns = {"Hund": "dog", "Katze": "cat", "Ball": "ball", "Fahrrad": "bicycle", "Gitarre": "guitar", "Pferd": "horse"}
    verbs = {"getragen": "carried", "gesehen": "saw", "gemalt": "painted", "gekauft": "bought", "verloren": "lost"}
    mean_distance = {}
    for name, words in (("nouns", nouns), ("verbs", verbs)):
        distances = [
            abs(source.index(german) - target.index(english))
            for pair in SAMPLE
            for source, target in [(pair.source.rstrip(".").split(), pair.target.rstrip(".").split())]
            for german, english in words.items()
            if german in source and english in target
        ]
        mean_distance[name] = sum(distances) / len(distances)
    assert mean_distance["nouns"] > 1.5
    assert mean_distance["verbs"] > 4


def test_articles_agree_with_their_nouns() -> None:
    text = " ".join(pair.source.lower() for pair in SAMPLE)
    assert "ein frau" not in text
    assert "eine mann" not in text
    assert " a old " not in " ".join(pair.target for pair in SAMPLE)


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(UserError, match="size=19 is too small for the sample corpus: choose 20"):
        SampleParallel(size=19)
    with pytest.raises(UserError, match=r"does not translate 'de' to 'fr'.*de and en"):
        SampleParallel(source_language="de", target_language="fr")
