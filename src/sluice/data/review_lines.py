"""Labelled texts as a running text, one a line, without their labels."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sluice.data.fingerprints import Sources
from sluice.data.running_text import Line
from sluice.data.sources import LabelledCorpus

HELD_OUT = 10
"""Of so many groups of training texts one is for validation, where the corpus has no validation texts."""


@dataclass(frozen=True)
class ReviewLines:
    """The texts of a corpus, those of one group in one part."""

    corpus: LabelledCorpus

    @property
    def name(self) -> str:
        """The corpus's own."""
        return self.corpus.name

    @property
    def description(self) -> str:
        """Where the texts come from, for people."""
        return f"{self.corpus.description}, one a line"

    @property
    def sources(self) -> Sources:
        """Those of the corpus."""
        own = self.corpus.sources
        return replace(own, recipe=f"lines of {own.recipe}")

    def lines(self) -> Iterator[Line]:
        """Yields a line a text.

        Raises:
            UserError: as the corpus does.
        """
        for number, document in enumerate(self.corpus.documents()):
            group = f"{document.label} {document.group or number}"
            held = document.split == "train" and zlib.crc32(group.encode()) % HELD_OUT == 0
            yield Line("val" if held else document.split, " ".join(document.text.split()))
