"""Generated German sentences with English translations, used if no real corpus is available.

The word order of the two languages differs: German has the verb at the end of a clause or split over both ends of a
sentence, time before place and object, and the verb before the subject in sentences that begin with a time. The
position of a word hardly predicts the position of its translation, so that attention is useful.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

from sluice.data.corpus import SentencePair, Sources
from sluice.data.synthetic.base import BYTES_PER_TEXT, check_memory
from sluice.errors import UserError

VERSION = 1
"""Version of the generated texts. Increment it with every change to them, to invalidate caches."""
LANGUAGES = ("de", "en")
MIN_SIZE = 20
MIN_HELD_OUT = 50
PEOPLE = (
    *(("Mann", "m", "man"), ("Frau", "f", "woman"), ("Kind", "n", "child"), ("Mädchen", "n", "girl")),
    *(("Lehrer", "m", "teacher"), ("Ärztin", "f", "doctor"), ("Bäcker", "m", "baker"), ("Köchin", "f", "cook")),
    *(("Gärtner", "m", "gardener"), ("Läuferin", "f", "runner"), ("Musiker", "m", "musician"), ("Tante", "f", "aunt")),
)
THINGS = (
    *(("Ball", "m", "ball"), ("Hut", "m", "hat"), ("Buch", "n", "book"), ("Fahrrad", "n", "bicycle")),
    *(("Gitarre", "f", "guitar"), ("Karte", "f", "map"), ("Korb", "m", "basket"), ("Bild", "n", "picture")),
    *(("Hund", "m", "dog"), ("Katze", "f", "cat"), ("Pferd", "n", "horse"), ("Lampe", "f", "lamp")),
    *(("Schirm", "m", "umbrella"), ("Tasche", "f", "bag"), ("Boot", "n", "boat"), ("Drachen", "m", "kite")),
)
QUALITIES = (
    *(("rot", "red"), ("alt", "old"), ("klein", "small"), ("groß", "big"), ("jung", "young"), ("schön", "beautiful")),
    *(("schwarz", "black"), ("neu", "new"), ("braun", "brown"), ("müd", "tired")),
)
VERBS = (
    *(("trägt", "tragen", "getragen", "carries", "carry", "carried"),),
    *(("sieht", "sehen", "gesehen", "sees", "see", "saw"), ("malt", "malen", "gemalt", "paints", "paint", "painted")),
    *(("sucht", "suchen", "gesucht", "looks for", "look for", "looked for"),),
    *(
        ("findet", "finden", "gefunden", "finds", "find", "found"),
        ("kauft", "kaufen", "gekauft", "buys", "buy", "bought"),
    ),
    *(("holt", "holen", "geholt", "fetches", "fetch", "fetched"),),
    *(("zeigt", "zeigen", "gezeigt", "shows", "show", "showed"),),
    *(("verliert", "verlieren", "verloren", "loses", "lose", "lost"),),
    *(("wäscht", "waschen", "gewaschen", "washes", "wash", "washed"),),
)
SPLIT_VERBS = (
    *(
        ("hebt", "auf", "picks up"),
        ("schaut", "an", "looks at"),
        ("lädt", "ein", "loads"),
        ("räumt", "weg", "puts away"),
    ),
)
PLACES = (
    *(("im Park", "in the park"), ("am Strand", "on the beach"), ("auf der Straße", "in the street")),
    *(("vor dem Haus", "in front of the house"), ("auf dem Markt", "at the market")),
    *(
        ("neben der Kirche", "next to the church"),
        ("hinter dem Bahnhof", "behind the station"),
        ("zu Hause", "at home"),
    ),
)
TIMES = (
    *(("heute", "today"), ("am Morgen", "in the morning"), ("jeden Tag", "every day"), ("am Abend", "in the evening")),
    *(("nach der Arbeit", "after work"), ("sonntags", "on Sundays")),
)
PAST_TIMES = (
    *(("gestern", "yesterday"), ("letzte Woche", "last week"), ("vor dem Essen", "before the meal")),
    *(("im Sommer", "in the summer"), ("am Montag", "on Monday")),
)
ENDINGS = {"nominative": {"m": "er", "f": "e", "n": "es"}, "accusative": {"m": "en", "f": "e", "n": "es"}}
ARTICLES = {"nominative": {"m": "ein", "f": "eine", "n": "ein"}, "accusative": {"m": "einen", "f": "eine", "n": "ein"}}
RELATIVES = {"m": "der", "f": "die", "n": "das"}
FRAMES = (
    ("{subject} {verb} {time} {place} {object}.", "{subject} {verb} {object} {place} {time}."),
    ("{time} {verb} {subject} {object} {place}.", "{time}, {subject} {verb} {object} {place}."),
    ("{subject} hat {past} {place} {object} {participle}.", "{subject} {preterite} {object} {place} {past}."),
    ("{past} hat {subject} {object} {participle}.", "{past}, {subject} {preterite} {object}."),
    ("{subject} will {time} {object} {infinitive}.", "{subject} wants to {infinitive} {object} {time}."),
    ("{subject} kann {place} {object} {infinitive}.", "{subject} can {infinitive} {object} {place}."),
    (
        "{witness} sagt, dass {subject} {object} {place} {verb}.",
        "{witness} says that {subject} {verb} {object} {place}.",
    ),
    (
        "{witness} hat gesehen, wie {subject} {place} {object} {verb}.",
        "{witness} saw how {subject} {verb} {object} {place}.",
    ),
    ("{subject}, {relative} {thing} {verb2}, {verb} {object}.", "{subject} who {verb2} {thing} {verb} {object}."),
    ("{subject} {split} {time} {object} {particle}.", "{subject} {split} {object} {time}."),
    ("{time} {split} {subject} {place} {object} {particle}.", "{time}, {subject} {split} {object} {place}."),
)
"""Pairs of German and English templates with the same slots."""


class Words(NamedTuple):
    """Words of both languages by slot."""

    german: dict[str, str]
    english: dict[str, str]


class SampleParallel:
    """A corpus of generated sentence pairs; the same size, seed and languages give the same pairs."""

    name = "sample"

    def __init__(
        self, *, size: int = 4000, seed: int = 0, source_language: str = "de", target_language: str = "en"
    ) -> None:
        """
        Args:
            size: training pairs. Validation and test each have an eighth as many in addition, but at least 50.
            seed: seed of the sentences.
            source_language: "de" or "en".
            target_language: the other language.

        Raises:
            UserError: if `size` is below 20, or the languages are not these two.
        """
        if size < MIN_SIZE:
            raise UserError(f"size={size} is too small for the sample corpus: choose {MIN_SIZE} pairs or more")
        check_memory(BYTES_PER_TEXT, {"train": size}, size=size)
        if sorted((source_language, target_language)) != sorted(LANGUAGES):
            raise UserError(
                f"the sample corpus does not translate {source_language!r} to {target_language!r}: "
                f"its two languages are {' and '.join(LANGUAGES)}"
            )
        self.size, self.seed = size, seed
        self.source_language, self.target_language = source_language, target_language

    @property
    def held_out(self) -> int:
        """Number of pairs of validation and of test."""
        return max(self.size // 8, MIN_HELD_OUT)

    @property
    def sources(self) -> Sources:
        """The generator and its settings."""
        recipe = f"sample pairs v{VERSION}, {self.source_language} to {self.target_language}, size {self.size}"
        return Sources(recipe, seed=self.seed)

    @property
    def description(self) -> str:
        """Description of the generator."""
        return f"sentence pairs generated by sluice with seed {self.seed} (not a real corpus)"

    def pairs(self) -> Iterator[SentencePair]:
        """Yields the pairs split by split, without duplicates."""
        generated = distinct_pairs(random.Random(f"{VERSION}-{self.seed}"))
        for split, size in (("train", self.size), ("val", self.held_out), ("test", self.held_out)):
            for _ in range(size):
                german, english = next(generated)
                texts = {"de": german, "en": english}
                yield SentencePair(split, texts[self.source_language], texts[self.target_language])


def distinct_pairs(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yields an endless stream of distinct German sentences with their translations."""
    seen: set[str] = set()
    while True:
        pair = write_pair(rng)
        if seen.isdisjoint(pair):
            seen.update(pair)
            yield pair


def write_pair(rng: random.Random) -> tuple[str, str]:
    """Returns a random German sentence and its translation."""
    words = choose_words(rng)
    german, english = rng.choice(FRAMES)
    return _capitalised(german.format(**words.german)), _capitalised(english.format(**words.english))


def choose_words(rng: random.Random) -> Words:
    """Draws the words of all slots of a pair."""
    (subject, witness), (thing, other) = rng.sample(PEOPLE, 2), rng.sample(THINGS, 2)
    verb, verb2 = rng.sample(VERBS, 2)
    split, place, time, past = (rng.choice(choices) for choices in (SPLIT_VERBS, PLACES, TIMES, PAST_TIMES))
    phrases = {
        "subject": noun_phrase(rng, subject, "nominative"),
        "witness": noun_phrase(rng, witness, "nominative"),
        "object": noun_phrase(rng, thing, "accusative"),
        "thing": noun_phrase(rng, other, "accusative"),
        "place": place,
        "time": time,
        "past": past,
        "verb": (verb[0], verb[3]),
        "verb2": (verb2[0], verb2[3]),
        "infinitive": (verb[1], verb[4]),
        "split": (split[0], split[2]),
    }
    german, english = ({slot: phrase[side] for slot, phrase in phrases.items()} for side in (0, 1))
    german |= {"participle": verb[2], "particle": split[1], "relative": RELATIVES[subject[1]]}
    return Words(german, english | {"preterite": verb[5]})


def noun_phrase(rng: random.Random, noun: tuple[str, str, str], case: str) -> tuple[str, str]:
    """Returns a noun phrase in both languages, randomly with an adjective.

    Args:
        rng: random generator.
        noun: German noun, its gender, and the English noun.
        case: "nominative" or "accusative".
    """
    german, gender, english = noun
    article = ARTICLES[case][gender]
    if rng.random() < 0.5:
        return f"{article} {german}", f"{_a(english)} {english}"
    quality, translated = rng.choice(QUALITIES)
    return f"{article} {quality}{ENDINGS[case][gender]} {german}", f"{_a(translated)} {translated} {english}"


def _a(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
