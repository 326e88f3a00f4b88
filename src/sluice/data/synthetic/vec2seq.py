"""Data for generating a sentence from a label or an index."""

import random as python_random
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sluice.data.corpus import Sources
from sluice.data.synthetic.base import GeneratedPairs, RandomTexts, check_at_least
from sluice.data.synthetic.reviews import BAD, GOOD, SLOTS, VERDICTS, fill_slots, write_verdict
from sluice.errors import UserError
from sluice.text.lines import check_not_pipe, read_lines

SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+")


class LabelledSentence(NamedTuple):
    """A sentence and its label or index."""

    label: int
    text: str


class LabelSentences(RandomTexts):
    """Generated review sentences, labelled with the opinion that they express."""

    labels = ("neg", "pos")
    default_sizes = (8000, 1000, 2000)

    def sentences(self, split: str) -> Iterator[LabelledSentence]:
        """Yields the sentences of a split; sentences may repeat within a split, but not across splits."""
        for text in self.draw_texts(split, _draw):
            yield LabelledSentence(int(text[0]), text[1:])


def label_of(sentence: str) -> int | None:
    """Returns the label that a sentence expresses; None if it is not a sentence of LabelSentences."""
    return next((label for label, pattern in enumerate(_patterns()) if pattern.fullmatch(sentence)), None)


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Returns a pattern of the sentences of each label."""
    fillings = {f"{name}{number}": words for name, words in SLOTS.items() for number in ("", "2")}
    frames = sorted({frame for pair in VERDICTS for frame in pair})
    sides = ({"meant": BAD, "against": GOOD}, {"meant": GOOD, "against": BAD})
    return tuple(re.compile("|".join(_pattern(frame, fillings | side) for frame in frames)) for side in sides)


def _pattern(frame: str, fillings: dict[str, tuple[str, ...]]) -> str:
    pieces = re.split(r"{(\w+)}", frame)
    pieces[::2] = map(re.escape, pieces[::2])
    pieces[1::2] = (f"(?:{'|'.join(map(re.escape, fillings[name]))})" for name in pieces[1::2])
    return "".join(pieces)


class BookSentences:
    """The numbered sentences of a book, to be memorised; there are no splits."""

    def __init__(self, path: Path, *, limit: int | None = None) -> None:
        """
        Args:
            path: UTF-8 text, plain or gzipped; sentences are split at sentence ends and empty lines.
            limit: maximum number of sentences; None for all.

        Raises:
            UserError: as `read_lines`, or if the file is a pipe or has no sentences, or the limit is below 1.
        """
        check_not_pipe(path)
        if limit is not None:
            check_at_least(1, limit=limit)
        text = "\n".join(read_lines(path))
        self.path, self.limit = path, limit
        self.texts = split_sentences(text)[:limit]
        if not self.texts:
            raise UserError(f"{path} has no sentences: use a file with text")

    def sentences(self) -> Iterator[LabelledSentence]:
        """Yields every sentence with its index."""
        yield from (LabelledSentence(index, text) for index, text in enumerate(self.texts))

    @staticmethod
    def check_number(symbol: str, known: Iterable[str]) -> None:
        """Checks that a model was trained on the sentence with a number; models of labels are not checked.

        Args:
            symbol: the number.
            known: numbers of the training sentences, or labels.

        Raises:
            UserError: if the sentence does not exist, or was too long.
        """
        numbers = {int(token) for token in known if token.isdecimal()}
        if not numbers or symbol in map(str, numbers):
            return
        last = max(numbers)
        if symbol in map(str, range(last)):
            raise UserError(
                f"there is no sentence for {symbol!r}: it was too long for training (task.data.max_length), choose "
                f"another number from {min(numbers)} to {last}"
            )
        raise UserError(f"there is no sentence for {symbol!r}: choose from {min(numbers)} to {last}")


def split_sentences(text: str) -> list[str]:
    """Returns the sentences of a text, with whitespace replaced by single spaces."""
    paragraphs = re.split(r"\n\s*\n", text)
    pieces = (" ".join(piece.split()) for paragraph in paragraphs for piece in _pieces(paragraph))
    return [piece for piece in pieces if piece]


def _pieces(paragraph: str) -> Iterator[str]:
    start = 0
    for end in SENTENCE_END.finditer(paragraph):
        yield paragraph[start : end.end()]
        start = end.end()
    yield paragraph[start:]


def _draw(random: np.random.Generator) -> str:
    """Returns the digit of the label, followed by the sentence."""
    rng = python_random.Random(int(random.integers(2**63)))
    frames = VERDICTS[int(random.integers(len(VERDICTS)))]
    label = int(random.integers(2))
    return f"{label}{write_verdict(rng, frames, fill_slots(rng))[label]}"


VERSION = 1
"""Version of the generated texts. Increment it with every change to them, to invalidate caches."""


def labels_as_pairs(sentences: LabelSentences) -> GeneratedPairs:
    """Returns pairs of a class name and a sentence that expresses it."""
    sizes = ", ".join(map(str, sentences.sizes.values()))
    return GeneratedPairs(
        sources=Sources(f"labels to sentences v{VERSION}, sizes {sizes}", seed=sentences.seed),
        description=f"sentences of generated reviews with seed {sentences.seed}",
        write=lambda split: ((sentences.labels[label], text) for label, text in sentences.sentences(split)),
        name="sample",
    )


def book_as_pairs(book: BookSentences) -> GeneratedPairs:
    """Returns pairs of the index of a sentence and the sentence; every split has all of them."""
    return GeneratedPairs(
        sources=Sources.of(f"book v{VERSION}, limit {book.limit}", {"book": book.path}),
        description=f"the {len(book.texts)} sentences of {book.path}",
        write=lambda split: ((str(index), text) for index, text in book.sentences()),
        name="file",
    )
