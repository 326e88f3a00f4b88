"""Corpora of texts in memory, from any Python iterables."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from sluice.data.corpus import SPLITS, Document, Line, SentencePair, Sources
from sluice.errors import UserError


class _InMemory:
    """Rows of strings by split; the fingerprint is that of their content."""

    name = "memory"
    content = "texts"
    """What the rows are."""

    def __init__(self, splits: Mapping[str, Iterable[tuple[str, ...]] | None]) -> None:
        self.rows = {name: list(rows) for name, rows in splits.items() if rows is not None}
        digest = hashlib.sha256()
        for split, row in self._all():
            if not isinstance(row, tuple) or not all(isinstance(part, str) for part in row):
                raise UserError(f"{self.content} must be strings, got {row!r:.60} in the {split} split: convert them")
            _check_encodable(row, split)
            digest.update(repr((split, row)).encode("utf-8"))
        if not self.rows.get("train"):
            raise UserError(f"there are no training {self.content}: give at least one")
        if empty := [split for split, rows in self.rows.items() if not rows]:
            raise UserError(f"the {empty[0]} split has no {self.content}: give at least one, or None to hold some out")
        self.sources = Sources(f"{self.content} in memory, {digest.hexdigest()}")

    @property
    def description(self) -> str:
        """Number of rows of each split."""
        counts = ", ".join(f"{len(rows):,} {name}" for name, rows in self.rows.items())
        return f"{self.content} in memory ({counts})"

    def _all(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for split, rows in self.rows.items():
            yield from ((split, row) for row in rows)


class LabelledTexts(_InMemory):
    """Labelled texts for ClassificationData.

    Without `val` or `test`, the DataModule holds out a fraction of the training texts, see TextSettings.

    Example:
        >>> corpus = LabelledTexts(train=[("a fine film", "pos"), ("a dull film", "neg")])
        >>> corpus.labels, [document.label for document in corpus.documents()]
        (('neg', 'pos'), [1, 0])
    """

    content = "labelled texts"

    def __init__(
        self,
        train: Iterable[tuple[str, str]],
        *,
        val: Iterable[tuple[str, str]] | None = None,
        test: Iterable[tuple[str, str]] | None = None,
    ) -> None:
        """
        Args:
            train: (text, label) of each training text.
            val: those of the validation texts; None to hold them out.
            test: those of the test texts; None to hold them out.

        Raises:
            UserError: for rows that are not two strings, no training texts, or labels without training texts.
        """
        super().__init__({"train": train, "val": val, "test": test})
        _check_rows(self.rows, "a text and a label")
        self.labels = tuple(sorted({label for _, label in self.rows["train"]}))
        for split, (_, label) in self._all():
            if label not in self.labels:
                raise UserError(f"the label {label!r} of the {split} split has no training text: add one")
        if len(self.labels) < 2:
            raise UserError(f"all training texts have the label {self.labels[0]!r}: give at least two labels")

    def documents(self) -> Iterator[Document]:
        """Yields every text with its class id."""
        ids = {label: index for index, label in enumerate(self.labels)}
        for split, (text, label) in self._all():
            yield Document(split, text, ids[label])


class TextLines(_InMemory):
    """Running text for LanguageData or WindowData, line by line.

    Example:
        >>> corpus = TextLines(["the sea", "sleeps", "the end"], validation_fraction=0.3, test_fraction=0.3)
        >>> [line.split for line in corpus.lines()]
        ['train', 'val', 'test']
    """

    content = "lines"

    def __init__(
        self,
        train: Iterable[str],
        *,
        val: Iterable[str] | None = None,
        test: Iterable[str] | None = None,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.1,
    ) -> None:
        """
        Args:
            train: the training lines.
            val: the validation lines; None to hold out lines before those of the test.
            test: the test lines; None to hold out the last lines.
            validation_fraction: fraction of the lines to hold out, at least one line.
            test_fraction: fraction of the lines to hold out, at least one line.

        Raises:
            UserError: for lines that are not strings, or too few lines to hold some out.
        """
        lines, held = _strings(train), {"val": _strings(val), "test": _strings(test)}
        given = len(lines or ())
        for name, fraction in (("test", test_fraction), ("val", validation_fraction)):
            if held[name] is None and lines:
                size = max(1, round(fraction * given))
                lines, held[name] = lines[:-size], lines[-size:]
        super().__init__({"train": lines, **held})

    def lines(self) -> Iterator[Line]:
        """Yields every line."""
        for split in SPLITS:
            yield from (Line(split, text) for (text,) in self.rows[split])


class SentencePairs(_InMemory):
    """Sentences and their translations for TranslationData.

    Without `val` or `test`, the DataModule holds out a fraction of the training pairs, see ParallelSettings.

    Example:
        >>> corpus = SentencePairs([("ein Hund", "a dog")], source_language="de", target_language="en")
        >>> next(corpus.pairs())
        SentencePair(split='train', source='ein Hund', target='a dog')
    """

    content = "sentence pairs"

    def __init__(
        self,
        train: Iterable[tuple[str, str]],
        *,
        val: Iterable[tuple[str, str]] | None = None,
        test: Iterable[tuple[str, str]] | None = None,
        source_language: str = "",
        target_language: str = "",
    ) -> None:
        """
        Args:
            train: (source, target) of each training pair.
            val: the validation pairs; None to hold them out.
            test: the test pairs; None to hold them out.
            source_language: code of the source language, such as "de"; empty if unknown.
            target_language: code of the target language.

        Raises:
            UserError: for rows that are not two strings, or no training pairs.
        """
        super().__init__({"train": train, "val": val, "test": test})
        _check_rows(self.rows, "a sentence and its translation")
        self.source_language, self.target_language = source_language, target_language

    def pairs(self) -> Iterator[SentencePair]:
        """Yields every pair."""
        for split, (source, target) in self._all():
            yield SentencePair(split, source, target)


def _strings(lines: Iterable[str] | None) -> list[tuple[str]] | None:
    if isinstance(lines, str):
        raise UserError(f"expected lines, got the single string {lines[:40]!r}: split it, as in text.splitlines()")
    return None if lines is None else [(line,) for line in lines]


def _check_encodable(row: tuple[str, ...], split: str) -> None:
    for part in row:
        try:
            part.encode("utf-8")
        except UnicodeEncodeError as error:
            lone = part[error.start]
            raise UserError(f"{lone!a} in a text of the {split} split is a lone surrogate: remove it") from error


def _check_rows(rows: Mapping[str, list[tuple[str, ...]]], what: str) -> None:
    for split, members in rows.items():
        wrong = next((row for row in members if len(row) != 2), None)
        if wrong is not None:
            raise UserError(f"expected {what} in each row of the {split} split, got {wrong!r:.60}")
