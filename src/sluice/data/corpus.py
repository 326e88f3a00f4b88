"""Protocols of corpora and the records that they yield."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

SPLITS = ("train", "val", "test")


class SourceFile(NamedTuple):
    """A file that a corpus reads."""

    role: str
    """Role of the file in the corpus: "train", "test source", ..."""
    path: Path


@dataclass(frozen=True)
class Sources:
    """Sources of a corpus, from which its fingerprint is computed."""

    recipe: str
    """Format of the files, or a generator with its version and settings, without the seed."""
    files: tuple[SourceFile, ...] = ()
    """Files in the order in which they are read."""
    seed: int | None = None
    """Seed of generated texts."""

    @classmethod
    def of(cls, recipe: str, files: Mapping[str, Path]) -> "Sources":
        """Builds the sources of a corpus that is read from files.

        Args:
            recipe: format of the files.
            files: paths by role.
        """
        return cls(recipe, tuple(SourceFile(role, path) for role, path in files.items()))


class Corpus(Protocol):
    """Texts that can be iterated any number of times, in the same order."""

    @property
    def name(self) -> str:
        """Kind of source, as in results.json.

        "local", "download" or "file"; "generated" for a task of generated data, "sample" for generated data that stand
        in for real ones, whose scores are not meaningful.
        """

    @property
    def sources(self) -> Sources:
        """The files, or the generator and its settings."""

    @property
    def description(self) -> str:
        """Human-readable source of the texts: a path, or a description of the generator."""


class Document(NamedTuple):
    """A labelled text."""

    split: str
    """"train", "val" or "test"; missing splits are held out from "train" later."""
    text: str
    label: int
    """Index into the corpus's `labels`."""
    group: str = ""
    """Texts of one class and group are assigned to the same split. Empty for no group."""


class LabelledCorpus(Corpus, Protocol):
    """A corpus of labelled texts."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, indexed by class id."""

    def documents(self) -> Iterator[Document]:
        """Yields every document once; raises UserError if a file is missing or cannot be read."""


class Line(NamedTuple):
    """A line of text without its line break, or a part of a long line."""

    split: str
    """"train", "val" or "test"."""
    text: str
    ends: bool = True
    """Whether the line ends here."""


class RunningText(Corpus, Protocol):
    """A corpus of running text, split into training, validation and test parts."""

    def lines(self) -> Iterator[Line]:
        """Yields every line once, in order within each split; raises UserError if a file cannot be read.

        Long lines may be yielded in parts, between which no token is split.
        """


class SentencePair(NamedTuple):
    """A sentence and its translation."""

    split: str
    """"train", "val" or "test"; missing splits are held out from "train" later."""
    source: str
    target: str


class ParallelCorpus(Corpus, Protocol):
    """A corpus of sentences and their translations."""

    @property
    def source_language(self) -> str:
        """Code of the source language, such as "de"; empty if unknown."""

    @property
    def target_language(self) -> str:
        """Code of the target language; empty if unknown."""

    def pairs(self) -> Iterator[SentencePair]:
        """Yields every pair once, including empty sentences; raises UserError if a file cannot be read."""


class TaggedSentence(NamedTuple):
    """A sentence with one tag per word."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


class TaggedCorpus(Corpus, Protocol):
    """A corpus of sentences with one tag per word."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Available splits, including "train"; missing ones are held out from "train" later."""

    def sentences(self, split: str) -> Iterator[TaggedSentence]:
        """Yields every sentence of a split; raises UserError if a file cannot be read."""


class TextPair(NamedTuple):
    """Two texts and the label of their relation."""

    first: str
    second: str
    label: int
    """Index into the corpus's `labels`."""
    deciding: tuple[str, ...] = ()
    """Words of either text that decide the class, if known."""


class PairCorpus(Corpus, Protocol):
    """A corpus of labelled text pairs."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, indexed by class id."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Available splits, including "train"; missing ones are held out from "train" later."""

    @property
    def has_deciding_words(self) -> bool:
        """Whether the pairs list the words that decide the class."""

    def pairs(self, split: str) -> Iterator[TextPair]:
        """Yields every pair of a split; raises UserError if a file cannot be read."""
