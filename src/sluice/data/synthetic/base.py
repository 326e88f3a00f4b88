"""What the generators share: random numbers and splits by seed, and generated pairs as a parallel corpus."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import ClassVar, TypeVar

import numpy as np

from sluice.data.corpus import SPLITS, SentencePair, Sources
from sluice.errors import UserError

SPLIT_TENTHS = {"train": 6, "val": 2, "test": 2}
"""Of all the sequences there are, which part belongs to each split."""
MAX_MISSES = 2000
"""Draws in a row that belong to other splits; with two tenths, chance alone never gets that far."""
Drawn = TypeVar("Drawn", str, bytes)


def generator(seed: int, split: str) -> np.random.Generator:
    """The random numbers of one split.

    Raises:
        UserError: for a split that doesn't exist or a negative seed.
    """
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
    if seed < 0:
        raise UserError(f"seed={seed} is negative: choose 0 or more")
    return np.random.default_rng([seed, SPLITS.index(split)])


def split_of(sequence: str | bytes, seed: int) -> str:
    """The split that a sequence belongs to, wherever and whenever it is drawn."""
    content = sequence.encode() if isinstance(sequence, str) else sequence
    digest = hashlib.blake2b(content, digest_size=8, key=str(seed).encode()).digest()
    tenth = int.from_bytes(digest, "little") % 10
    for split, tenths in SPLIT_TENTHS.items():
        tenth -= tenths
        if tenth < 0:
            return split
    raise AssertionError("the tenths make a whole")


def sequences_in_split(draw: Callable[[np.random.Generator], Drawn], seed: int, split: str) -> Iterator[Drawn]:
    """Yields, without end, the drawn sequences that belong to the split; one may come twice, but in one split only.

    Raises:
        UserError: if there are so few different ones that none is left for the split.
    """
    random, misses = generator(seed, split), 0
    while misses < MAX_MISSES:
        sequence = draw(random)
        if split_of(sequence, seed) == split:
            misses = 0
            yield sequence
        else:
            misses += 1
    raise UserError(
        f"these settings make so few different sequences that none is left for the {split} split: make them longer"
    )


def split_sizes(size: int, val_size: int, test_size: int) -> dict[str, int]:
    """The sizes by split.

    Raises:
        UserError: if one is below 1.
    """
    check_at_least(1, size=size, val_size=val_size, test_size=test_size)
    return {"train": size, "val": val_size, "test": test_size}


class RandomTexts:
    """Texts drawn at random, so many of each split; the same sizes and seed give the same ones."""

    default_sizes: ClassVar[tuple[int, int, int]]
    """Of training, validation and test."""

    def __init__(
        self, *, size: int | None = None, val_size: int | None = None, test_size: int | None = None, seed: int = 0
    ) -> None:
        """
        Args:
            size: training texts; None for the default.
            val_size: validation texts; None for the default.
            test_size: test texts; None for the default.
            seed: another seed gives other texts.

        Raises:
            UserError: a size is below 1.
        """
        given = zip((size, val_size, test_size), self.default_sizes, strict=True)
        self.sizes = split_sizes(*(default if chosen is None else chosen for chosen, default in given))
        self.seed = seed

    def make_sources(self, what: str) -> Sources:
        """A generator, `what` with its version, and its settings."""
        return Sources(f"{what}, sizes {', '.join(map(str, self.sizes.values()))}", seed=self.seed)

    def drawn(self, split: str, draw: Callable[[np.random.Generator], str]) -> Iterator[str]:
        """Yields the texts of a split; no text is in two splits, in one it may come twice."""
        yield from islice(sequences_in_split(draw, self.seed, split), self.sizes[split])


def check_at_least(least: int, **settings: int) -> None:
    """
    Raises:
        UserError: if one of the settings is smaller; the message names it.
    """
    for name, value in settings.items():
        if value < least:
            raise UserError(f"{name}={value} is too small: choose {least} or more")


class GeneratedPairs:
    """Sources and targets that Sluice makes, or cuts from a text of one's own."""

    source_language = ""
    target_language = ""

    def __init__(
        self,
        *,
        sources: Sources,
        description: str,
        write: Callable[[str], Iterable[tuple[str, str]]],
        name: str = "generated",
    ) -> None:
        """
        Args:
            sources: everything that the texts depend on.
            description: how they come about, in words.
            write: from a split to its sources and targets, the same ones at every call.
            name: "generated", or "file" where they come from a text of one's own.
        """
        self.sources, self.description, self.name, self._write = sources, description, name, write

    def pairs(self) -> Iterator[SentencePair]:
        """Yields every pair, split by split."""
        for split in SPLITS:
            for source, target in self._write(split):
                yield SentencePair(split, source, target)
