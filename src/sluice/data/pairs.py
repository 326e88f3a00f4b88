"""What every parallel corpus looks like to the rest of the program, wherever it lies."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from sluice.data.fingerprints import Sources


class SentencePair(NamedTuple):
    """A sentence and its translation."""

    split: str
    """"train", "val" or "test"; splits that a corpus doesn't have are cut from "train" later."""
    source: str
    target: str


class ParallelCorpus(Protocol):
    """A parallel corpus that can be read as a stream, any number of times, in the same order."""

    @property
    def name(self) -> str:
        """What results.json calls it: "local", "download", "sample" or "file"."""

    @property
    def source_language(self) -> str:
        """Code of the language translated from, "de"; empty where nobody said."""

    @property
    def target_language(self) -> str:
        """Code of the language translated into."""

    @property
    def sources(self) -> Sources:
        """Everything that the texts depend on: the files, or the generator and its settings."""

    @property
    def description(self) -> str:
        """Where the texts come from, for people: a path, or how the sample was generated."""

    def pairs(self) -> Iterator[SentencePair]:
        """Yields every pair once, empty sentences too; raises UserError when something cannot be read."""
