"""Titles of goods made up on the spot, in pairs: is it the same thing in other words, or another brand or model?"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from sluice.data.synthetic.draws import check_at_least, own_sequences

LABELS = ("different", "same")
BRANDS = (
    *("Norvik", "Altura", "Behmer", "Solvane", "Quorra", "Tindal", "Maskell", "Pellow Hill", "Ondine", "Garrow"),
    *("Vestra", "Lumeko", "Harlan", "Fennick", "Zephyra", "Corvid", "Ibsen Works", "Drayton", "Elkara", "Rosto"),
)
GOODS = (
    ("cordless drill", ("18 V", "two speeds", "with case", "keyless chuck")),
    ("coffee machine", ("1.2 l", "stainless steel", "with timer", "milk frother")),
    ("desk lamp", ("LED", "dimmable", "USB port", "aluminium arm")),
    ("vacuum cleaner", ("bagless", "800 W", "HEPA filter", "pet brush")),
    ("headphones", ("wireless", "noise cancelling", "30 h battery", "foldable")),
    ("bicycle light", ("300 lm", "rechargeable", "waterproof", "front and rear")),
    ("kettle", ("1.7 l", "glass", "auto shut-off", "2200 W")),
    ("backpack", ("25 l", "laptop sleeve", "water resistant", "unisex")),
)
COLOURS = ("black", "white", "silver", "red", "navy", "graphite")
WORDINGS = (
    "{brand} {model} {goods} {extras}",
    "{goods} {brand} {model} , {extras}",
    "{brand} {goods} {extras} ( {model} )",
    "{goods} by {brand} , model {model} , {extras}",
    "new : {goods} {model} from {brand} - {extras}",
)


class TitlePair(NamedTuple):
    """Two titles."""

    first: str
    """Words set apart by blanks."""
    second: str
    label: int
    """Place in `LABELS`."""
    deciding: tuple[str, ...]
    """The words that tell the two apart, of either title; empty where they are the same."""


class PairsSample:
    """Generated pairs of product titles; the same sizes and seed give the same ones.

    Two titles are of the same thing when brand and model number are the same; wording, order and the features that are
    mentioned vary in either class, so that all else tells nothing.
    """

    labels = LABELS

    def __init__(self, *, size: int = 8000, val_size: int = 1000, test_size: int = 2000, seed: int = 0) -> None:
        """
        Args:
            size: training pairs.
            val_size: validation pairs.
            test_size: test pairs.
            seed: another seed gives other pairs.

        Raises:
            UserError: a size is below 1.
        """
        check_at_least(1, size=size, val_size=val_size, test_size=test_size)
        self.sizes = {"train": size, "val": val_size, "test": test_size}
        self.seed = seed

    def pairs(self, split: str) -> Iterator[TitlePair]:
        """Yields the pairs of a split; no pair is in two splits."""
        for text in islice(own_sequences(_draw, self.seed, split), self.sizes[split]):
            first, second, label, deciding = text.split("\n")
            yield TitlePair(first, second, int(label), tuple(deciding.split()))


class _Thing(NamedTuple):
    brand: str
    model: str
    goods: int


def _draw(random: np.random.Generator) -> str:
    """First title, second title, label and deciding words, a line each."""
    brand = BRANDS[random.integers(len(BRANDS))]
    first = _Thing(brand, _model_number(random), int(random.integers(len(GOODS))))
    label = int(random.integers(2))
    second = first if label else _another(random, first)
    deciding = [
        word
        for ours, theirs in ((first.brand, second.brand), (first.model, second.model))
        if ours != theirs
        for word in (*ours.split(), *theirs.split())
    ]
    return "\n".join([_title(random, first), _title(random, second), str(label), " ".join(deciding)])


def _another(random: np.random.Generator, thing: _Thing) -> _Thing:
    """The same but for the brand, or for one figure of the model number."""
    if random.integers(2):
        place = BRANDS.index(thing.brand) + int(random.integers(1, len(BRANDS)))
        return thing._replace(brand=BRANDS[place % len(BRANDS)])
    figures = [place for place, letter in enumerate(thing.model) if letter.isdigit()]
    place = figures[random.integers(len(figures))]
    figure = (int(thing.model[place]) + int(random.integers(1, 10))) % 10
    return thing._replace(model=f"{thing.model[:place]}{figure}{thing.model[place + 1 :]}")


def _model_number(random: np.random.Generator) -> str:
    letters = "".join("ABCDEGHKLMNPRSTVXZ"[place] for place in random.integers(0, 18, 2))
    return f"{letters}-{random.integers(100):02d}"


def _title(random: np.random.Generator, thing: _Thing) -> str:
    goods, features = GOODS[thing.goods]
    extras = [features[place] for place in random.permutation(len(features))[: random.integers(1, 3)]]
    if random.integers(2):
        extras.append(COLOURS[random.integers(len(COLOURS))])
    wording = WORDINGS[random.integers(len(WORDINGS))]
    return wording.format(brand=thing.brand, model=thing.model, goods=goods, extras=" ".join(extras))
