"""What every corpus looks like to the rest of the program, wherever it lies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

SPLITS = ("train", "val", "test")


class SourceFile(NamedTuple):
    """A file that a corpus reads."""

    role: str
    """What it is to the corpus ("train", "test source"); with its content, all that matters of it."""
    path: Path


@dataclass(frozen=True)
class Sources:
    """Everything that the texts of a corpus depend on."""

    recipe: str
    """How the files are read, or a generator with its version and settings; without the seed of the run."""
    files: tuple[SourceFile, ...] = ()
    """In the order in which they are read."""
    seed: int | None = None
    """Of generated texts."""

    @classmethod
    def of(cls, recipe: str, files: Mapping[str, Path]) -> "Sources":
        """The sources of files by their roles."""
        return cls(recipe, tuple(SourceFile(role, path) for role, path in files.items()))


class Corpus(Protocol):
    """Texts that can be read as a stream, any number of times, in the same order."""

    @property
    def name(self) -> str:
        """What results.json calls it: "local", "download", "sample", "generated" or "file"."""

    @property
    def sources(self) -> Sources:
        """Everything that the texts depend on: the files, or the generator and its settings."""

    @property
    def description(self) -> str:
        """Where the texts come from, in words: a path, or how the sample was generated."""


class Document(NamedTuple):
    """One labelled text of a corpus."""

    split: str
    """"train", "val" or "test"; a corpus without "val" has it cut from "train" later."""
    text: str
    label: int
    """Index into the corpus's `labels`."""
    group: str = ""
    """What it is about: texts of one class and group are held out together. Empty for a text of its own."""


class LabelledCorpus(Corpus, Protocol):
    """Texts of a class each."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; the position is the class id."""

    def documents(self) -> Iterator[Document]:
        """Yields every document once; raises UserError when something is missing or cannot be read."""


class Line(NamedTuple):
    """One line of a text, without its end."""

    split: str
    """"train", "val" or "test"."""
    text: str


class RunningText(Corpus, Protocol):
    """A running text in three parts."""

    def lines(self) -> Iterator[Line]:
        """Yields every line once, each split's in order; raises UserError when something cannot be read."""


class SentencePair(NamedTuple):
    """A sentence and its translation."""

    split: str
    """"train", "val" or "test"; splits that a corpus doesn't have are cut from "train" later."""
    source: str
    target: str


class ParallelCorpus(Corpus, Protocol):
    """Sentences and their translations."""

    @property
    def source_language(self) -> str:
        """Code of the language translated from, "de"; empty where nobody said."""

    @property
    def target_language(self) -> str:
        """Code of the language translated into."""

    def pairs(self) -> Iterator[SentencePair]:
        """Yields every pair once, empty sentences too; raises UserError when something cannot be read."""


class Tagged(NamedTuple):
    """A sentence, word by word."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


class TaggedCorpus(Corpus, Protocol):
    """Sentences with a label for each word."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits it has sentences for; "train" is one of them, the others are cut from it later."""

    def sentences(self, split: str) -> Iterator[Tagged]:
        """Yields every sentence of a split; raises UserError when something cannot be read."""


class TextPair(NamedTuple):
    """Two texts and what they are to each other."""

    first: str
    second: str
    label: int
    """Place in the corpus's `labels`."""
    deciding: tuple[str, ...] = ()
    """Words of either text that settle the class, where the corpus knows them."""


class PairCorpus(Corpus, Protocol):
    """Pairs of texts of a class each."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; the position is the class id."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits it has pairs for; "train" is one of them, the others are cut from it later."""

    @property
    def has_deciding_words(self) -> bool:
        """Whether its pairs come with their deciding words."""

    def pairs(self, split: str) -> Iterator[TextPair]:
        """Yields every pair of a split; raises UserError when something cannot be read."""
