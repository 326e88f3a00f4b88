"""Base classes of the generators: random numbers and splits by seed, and generated pairs as a parallel corpus."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import ClassVar, TypeVar

import numpy as np

from sluice.data.corpus import SPLITS, SentencePair, Sources
from sluice.errors import UserError
from sluice.memory import require_memory

SPLIT_TENTHS = {"train": 6, "val": 2, "test": 2}
"""Tenths of all possible sequences assigned to each split."""
BYTES_PER_TEXT = 100
"""Approximate memory of a generated text, a lower bound."""
MAX_MISSES = 2000
"""Maximum number of consecutive draws that belong to other splits; never reached by chance with two tenths."""
Drawn = TypeVar("Drawn", str, bytes)


def generator(seed: int, split: str) -> np.random.Generator:
    """Returns the random generator of a split.

    Raises:
        UserError: if the split is unknown or the seed is negative.
    """
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
    if seed < 0:
        raise UserError(f"seed={seed} is negative: choose 0 or more")
    return np.random.default_rng([seed, SPLITS.index(split)])


def split_of(sequence: str | bytes, seed: int) -> str:
    """Returns the split of a sequence, determined by its hash and the seed."""
    content = sequence.encode() if isinstance(sequence, str) else sequence
    digest = hashlib.blake2b(content, digest_size=8, key=str(seed).encode()).digest()
    tenth = int.from_bytes(digest, "little") % 10
    for split, tenths in SPLIT_TENTHS.items():
        tenth -= tenths
        if tenth < 0:
            return split
    raise AssertionError("SPLIT_TENTHS must sum to 10")


def sequences_in_split(draw: Callable[[np.random.Generator], Drawn], seed: int, split: str) -> Iterator[Drawn]:
    """Yields an endless stream of drawn sequences that belong to a split; sequences may repeat.

    Args:
        draw: draws a sequence.
        seed: seed of the random numbers and of the splits.
        split: "train", "val" or "test".

    Raises:
        UserError: if there are too few different sequences for every split to have any.
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
        f"these settings allow too few different sequences, with none for the {split} split: use longer sequences"
    )


def split_sizes(size: int, val_size: int, test_size: int) -> dict[str, int]:
    """Returns the sizes by split.

    Args:
        size: training examples.
        val_size: validation examples.
        test_size: test examples.

    Raises:
        UserError: if a size is below 1.
    """
    check_at_least(1, size=size, val_size=val_size, test_size=test_size)
    check_memory(BYTES_PER_TEXT, {"train": size, "val": val_size, "test": test_size})
    return {"train": size, "val": val_size, "test": test_size}


class RandomTexts:
    """Base class of randomly drawn texts; the same sizes and seed give the same texts."""

    default_sizes: ClassVar[tuple[int, int, int]]
    """Sizes of training, validation and test."""

    def __init__(
        self, *, size: int | None = None, val_size: int | None = None, test_size: int | None = None, seed: int = 0
    ) -> None:
        """
        Args:
            size: training texts; None for the default.
            val_size: validation texts; None for the default.
            test_size: test texts; None for the default.
            seed: seed of the random numbers.

        Raises:
            UserError: if a size is below 1.
        """
        given = zip((size, val_size, test_size), self.default_sizes, strict=True)
        self.sizes = split_sizes(*(default if chosen is None else chosen for chosen, default in given))
        self.seed = seed

    def make_sources(self, generator_name: str) -> Sources:
        """Returns the sources: name and version of the generator, sizes and seed."""
        return Sources(f"{generator_name}, sizes {', '.join(map(str, self.sizes.values()))}", seed=self.seed)

    def draw_texts(self, split: str, draw: Callable[[np.random.Generator], str]) -> Iterator[str]:
        """Yields the texts of a split; texts may repeat within a split, but not across splits."""
        yield from islice(sequences_in_split(draw, self.seed, split), self.sizes[split])


def check_at_least(minimum: int, **settings: int) -> None:
    """Checks the minimum of settings.

    Raises:
        UserError: if a setting is smaller; the message names it.
    """
    for name, value in settings.items():
        if value < minimum:
            raise UserError(f"{name}={value} is too small: choose {minimum} or more")


def check_memory(bytes_per_example: int, sizes: Mapping[str, int], **settings: int) -> None:
    """Checks that the largest split fits into memory.

    Args:
        bytes_per_example: memory of one example.
        sizes: examples of each split.
        settings: settings that determine the memory of an example, for the message.

    Raises:
        UserError: if it does not.
    """
    names = ", ".join(f"{name}={value}" for name, value in settings.items())
    largest = max(sizes.values())
    require_memory(bytes_per_example * largest, f"{largest:,} examples{names and f' with {names}'}", "reduce them")


class GeneratedPairs:
    """Generated pairs, or pairs from a user-supplied text, as a parallel corpus."""

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
            description: description of the pairs.
            write: returns the source and target texts of a split, the same at every call.
            name: kind of source, see `Corpus.name`.
        """
        self.sources, self.description, self.name, self._write = sources, description, name, write

    def pairs(self) -> Iterator[SentencePair]:
        """Yields every pair, split by split."""
        for split in SPLITS:
            for source, target in self._write(split):
                yield SentencePair(split, source, target)
