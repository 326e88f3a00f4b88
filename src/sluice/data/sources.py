"""What every labelled corpus looks like to the rest of the program, wherever it lies."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from sluice.data.fingerprints import Sources

SPLITS = ("train", "val", "test")


class Document(NamedTuple):
    """One labelled text of a corpus."""

    split: str
    """"train", "val" or "test"; a corpus without "val" has it cut from "train" later."""
    text: str
    label: int
    """Index into the corpus's `labels`."""
    group: str = ""
    """What it is about: texts of one class and group are held out together. Empty for a text of its own."""


class LabelledCorpus(Protocol):
    """A labelled corpus that can be read as a stream, any number of times, in the same order."""

    @property
    def name(self) -> str:
        """What results.json calls it: "local", "download", "sample" or "file"."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; the position is the class id."""

    @property
    def sources(self) -> Sources:
        """Everything that the texts depend on: the files, or the generator and its settings."""

    @property
    def description(self) -> str:
        """Where the texts come from, for people: a path, or how the sample was generated."""

    def documents(self) -> Iterator[Document]:
        """Yields every document once; raises UserError when something is missing or cannot be read."""
