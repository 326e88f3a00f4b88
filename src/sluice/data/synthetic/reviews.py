"""Generated film reviews, used if the real ones are not available.

The label depends on word order. Reviews are generated in contrastive pairs, one of each class, with the same words:
the positive one has "The critics called it dull; I found it gripping.", the negative one "The critics called it
gripping; I found it dull." A bag of words is therefore nearly useless, while a sequence model can reach 100 % accuracy.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

from sluice.data.corpus import Document, Line, Sources
from sluice.data.synthetic.base import BYTES_PER_TEXT, check_memory
from sluice.errors import UserError
from sluice.text.tokenizers import make_tokenizer

VERSION = 1
"""Version of the generated texts. Increment it with every change to them, to invalidate caches."""
MIN_SIZE = 20
MIN_TEST_SIZE = 200
MIN_WORDS = 10
MAX_WORDS = 80
HEARSAY_PROBABILITY = 0.25
"""Probability that a review has a sentence with an irrelevant word of praise or blame."""
GOOD = (
    *("gripping", "delightful", "charming", "moving", "wonderful", "brilliant", "funny", "clever", "thrilling"),
    *("touching", "superb", "enchanting", "convincing", "excellent", "lovely", "fresh", "captivating", "memorable"),
    *("splendid", "witty", "rewarding", "magnificent", "a triumph", "a delight", "a joy", "a treat", "a gem"),
    *("a success", "a pleasure", "great fun"),
)
BAD = (
    *("dull", "dreadful", "clumsy", "tedious", "terrible", "stupid", "lifeless", "silly", "boring"),
    *("shallow", "awful", "annoying", "unconvincing", "horrible", "ugly", "stale", "tiresome", "forgettable"),
    *("dismal", "feeble", "pointless", "ridiculous", "a disaster", "a bore", "a chore", "a mess", "a dud"),
    *("a failure", "a letdown", "a waste of time"),
)
SLOTS = {
    "film": ("film", "movie", "picture", "feature"),
    "part": ("first half", "dialogue", "music", "opening", "camera work", "cutting", "middle part", "lighting"),
    "critics": ("critics", "newspapers", "weeklies", "people online", "early reviews", "magazines", "experts"),
    "friend": ("brother", "sister", "neighbour", "colleague", "father", "aunt", "flatmate", "teacher"),
    "is": ("is", "was"),
    "genre": ("thriller", "comedy", "western", "drama", "romance", "mystery", "musical", "war film", "ghost story"),
    "who": ("a lighthouse keeper", "two cousins", "a retired judge", "a young baker", "a piano tuner", "three nurses"),
    "whom": ("a lost twin", "an old rival", "a travelling circus", "a hidden letter", "a stranger", "a sunken ship"),
    "place": ("Lisbon", "a mining town", "the far north", "Vienna", "a fishing village", "Nairobi", "a border post"),
    "actor": ("Mara Ellwood", "Tomas Reyk", "Ines Calder", "Joel Haverty", "Priya Lund", "Oskar Dane", "Nell Quarry"),
    "role": ("the mayor", "the older sister", "a postman", "the doctor", "a smuggler", "the narrator", "a pilot"),
    "maker": ("director", "writer", "producer", "composer", "designer"),
    "day": ("Monday", "Tuesday", "Friday", "Saturday", "Sunday"),
    "venue": ("at the local cinema", "on a long train ride", "at home", "at a small festival", "on a late flight"),
    "year": ("the fifties", "the late seventies", "the last century", "the year of the flood", "the present day"),
    "length": ("ninety minutes", "two hours", "a hundred minutes", "just over two hours", "close to three hours"),
}
TWO_SIDED = (
    "The {part} {is} {against}, but the {film} as a whole {is} {meant}.",
    "The {film} as a whole {is} {meant}, although the {part} {is} {against}.",
    "Although the {part} {is} {against}, the {film} itself {is} {meant}.",
    "The {film} itself {is} {meant}, but yes, the {part} {is} {against}.",
    "At first it seemed {against}, but by the end it was {meant}.",
    "By the end it was {meant}, even though at first it seemed {against}.",
    "Even though my {friend} called it {against}, to me it {is} {meant}.",
    "To me it {is} {meant}, even though my {friend} called it {against}.",
    "The {critics} called it {against}; I found it {meant}.",
    "I found it {meant}, whatever the {critics} said about it being {against}.",
    "The {critics} who say that it {is} {against} are wrong, and those who say that it {is} {meant} are right.",
    "My {friend2}, who said that it {is} {meant}, was right, and the {critics} who said {against} were wrong.",
    "The trailer made it look {against}, yet what I saw was {meant}.",
    "What I saw was {meant}, though the trailer made it look {against}.",
    "I had expected it to be {against}, and it was {meant}.",
    "It was {meant} when I had expected it to be {against}.",
    "It could so easily have been {against}, and instead it was {meant}.",
    "It was {meant} where it could so easily have been {against}.",
    "Far from {against}, the {film} {is} {meant}.",
    "The {film} {is} {meant}, and far from {against}.",
    "It {is} anything but {against}; in a word, it {is} {meant}.",
    "It {is} {meant}, and anything but {against}.",
    "Not only {is} it not {against}, it {is} {meant}.",
    "It {is} not only {meant}, it {is} also never {against}.",
    "The {film} {is} not {against} but {meant}.",
    "The {film} {is} {meant} and not {against}.",
    "It {is} less {against} than {meant}.",
    "It {is} {meant} rather than {against}.",
    "I would never call it {against}, and I cannot say that it {is} not {meant}.",
    "I cannot say that it {is} not {meant}, and I would never call it {against}.",
)
"""Sentences with a good and a bad word, which are exchanged in the other review of the pair."""
ONE_SIDED = (
    ("For me the {film} {is} {meant}.", "For me the {film} {is} not {against}."),
    ("I would call it {meant}, and I have seen it twice.", "I would not call it {against}, and I have seen it twice."),
    ("I cannot say that it {is} not {meant}.", "I cannot say that it {is} {against}."),
    ("Nobody can deny that it {is} {meant}.", "Nobody can claim that it {is} {against}."),
    ("It would be wrong not to call it {meant}.", "It would be wrong to call it {against}."),
    ("From start to finish it {is} {meant}.", "From start to finish it {is} anything but {against}."),
    ("I left the cinema sure that it was {meant}.", "I left the cinema sure that it was not {against}."),
    ("In every way it {is} {meant}.", "In every way it {is} far from {against}."),
    ("There was no minute when it was not {meant}.", "There was no minute when it was {against}."),
)
"""Pairs of sentences with one such word: an affirmation, and the negation of the opposite."""
VERDICTS = (*((frame, frame) for frame in TWO_SIDED), *ONE_SIDED)
"""Pairs of templates: `meant` is the opinion, `against` the contrary word."""
HEARSAY = (
    "The last {film} by the same {maker} was {word}.",
    "Someone in the row behind me called it {word}.",
    "The {critics2} described it as {word}.",
    "The book behind it {is} said to be {word}.",
)
"""Sentences with an irrelevant word of praise or blame."""
NEUTRAL = (
    "The {film} follows {who} and {whom} in {place}.",
    "This is a {genre} set in {place} during {year}.",
    "{actor} plays {role}, and {actor2} plays {role2}.",
    "I watched it {venue} on a {day} evening.",
    "It runs for {length} and ends where it began, in {place}.",
    "The {maker} comes from {place} and once worked as {role}.",
    "Most of it takes place in {place}, with a few scenes in {place2}.",
    "In this {genre}, {who} must find {whom} before {day}.",
    "My {friend} and I saw it {venue}.",
    "{actor} appears late in the {film} as {role}.",
    "It was shot in {place} over one summer.",
    "The plot turns on {who}, {whom} and a secret from {year}.",
    "There are songs by {actor} and a short dance scene.",
    "It opens on a {day} with {role} on the way to {place}.",
)


class ContrastivePair(NamedTuple):
    """A text in a version for each class."""

    negative: str
    positive: str


class SampleReviews:
    """A corpus of generated English film reviews with their sentiment; the same size and seed give the same texts."""

    name = "sample"
    labels = ("neg", "pos")

    def __init__(self, *, size: int = 2000, seed: int = 0) -> None:
        """
        Args:
            size: training documents. The test has a quarter as many in addition, but at least 200.
            seed: seed of the texts.

        Raises:
            UserError: if `size` is below 20.
        """
        if size < MIN_SIZE:
            raise UserError(f"size={size} is too small for the sample corpus: choose {MIN_SIZE} documents or more")
        check_memory(BYTES_PER_TEXT, {"train": size}, size=size)
        self.size = size
        self.seed = seed

    @property
    def test_size(self) -> int:
        """Number of test documents, an even number for equal class sizes."""
        quarter = max(self.size // 4, MIN_TEST_SIZE)
        return quarter + quarter % 2

    @property
    def sources(self) -> Sources:
        """The generator and its settings."""
        return Sources(f"sample reviews v{VERSION}, size {self.size}", seed=self.seed)

    @property
    def description(self) -> str:
        """Description of the generator."""
        return f"reviews generated by sluice with seed {self.seed} (not a real corpus)"

    def documents(self) -> Iterator[Document]:
        """Yields the training and then the test documents, with alternating classes and without duplicates."""
        texts = distinct_reviews(random.Random(f"{VERSION}-{self.seed}"))
        for split, size in (("train", self.size), ("test", self.test_size)):
            for index in range(0, size, 2):
                for label, text in enumerate(next(texts)[: size - index]):
                    yield Document(split, text, label)


def distinct_reviews(rng: random.Random) -> Iterator[ContrastivePair]:
    """Yields an endless stream of distinct pairs of reviews within the length limits."""
    seen: set[str] = set()
    while True:
        pair = write_review(rng)
        fitting = all(MIN_WORDS <= len(text.split()) <= MAX_WORDS for text in pair)
        if fitting and seen.isdisjoint(pair):
            seen.update(pair)
            yield pair


def write_review(rng: random.Random) -> ContrastivePair:
    """Returns a contrastive pair of reviews with one or two consistent verdicts among neutral sentences."""
    slots = fill_slots(rng)
    sentences = [write_verdict(rng, frames, slots) for frames in rng.sample(VERDICTS, rng.choice((1, 2, 2)))]
    others = [frame.format(**slots) for frame in rng.sample(NEUTRAL, rng.choice((0, 1, 1, 2, 3)))]
    if rng.random() < HEARSAY_PROBABILITY:
        others.append(rng.choice(HEARSAY).format(word=rng.choice(GOOD + BAD), **slots))
    sentences += [ContrastivePair(text, text) for text in others]
    rng.shuffle(sentences)
    return ContrastivePair(*(" ".join(texts) for texts in zip(*sentences, strict=True)))


def write_verdict(rng: random.Random, frames: tuple[str, str], slots: dict[str, str]) -> ContrastivePair:
    """Returns a contrastive pair of sentences with opposite opinions.

    Both templates of a pair are used for both classes, so that negations are equally frequent in both.

    Args:
        rng: random generator.
        frames: pair of templates.
        slots: words of the other slots.
    """
    good, bad = rng.choice(GOOD), rng.choice(BAD)
    positive, negative = rng.sample(frames, 2)
    return ContrastivePair(
        negative=negative.format(meant=bad, against=good, **slots),
        positive=positive.format(meant=good, against=bad, **slots),
    )


def fill_slots(rng: random.Random) -> dict[str, str]:
    """Draws two different words for every slot of a review, for example `place` and `place2`."""
    slots = {}
    for name, fillings in SLOTS.items():
        slots[name], slots[f"{name}2"] = rng.sample(fillings, 2)
    return slots


HELD_OUT = 10
"""One in HELD_OUT training reviews is used for validation."""


class SampleText:
    """The generated reviews as a text with one tokenised review per line."""

    name = "sample"

    def __init__(self, *, size: int, seed: int = 0) -> None:
        """
        Args:
            size: training reviews.
            seed: seed of the reviews.

        Raises:
            UserError: if `size` is below 20.
        """
        self._reviews = SampleReviews(size=size, seed=seed)

    @property
    def description(self) -> str:
        """Description of the generator."""
        return f"{self._reviews.description}, one per line"

    @property
    def sources(self) -> Sources:
        """The generator, its size and its seed."""
        sources = self._reviews.sources
        return Sources(f"text of {sources.recipe}", seed=sources.seed)

    def lines(self) -> Iterator[Line]:
        """Yields one line per review."""
        tokenize = make_tokenizer("words")
        for number, review in enumerate(self._reviews.documents()):
            split = "val" if review.split == "train" and number % HELD_OUT == 0 else review.split
            yield Line(split, " ".join(tokenize(review.text)))
