"""A user's own labelled files: texts, pairs of texts, and tagged words."""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from sluice.data.corpora.readers import Row, read_rows, read_tagged
from sluice.data.corpus import Document, Sources, Tagged, TextPair
from sluice.errors import UserError

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


class SplitFiles:
    """A training file and, if there are, a validation and a test file."""

    name = "file"
    content: ClassVar[str]
    """What the files hold, in words."""

    def __init__(self, path: Path, validation_path: Path | None, test_path: Path | None) -> None:
        paths = {"train": path, "val": validation_path, "test": test_path}
        self.files = {split: file for split, file in paths.items() if file is not None}

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have a file; the others are cut from "train" later."""
        return tuple(self.files)

    @property
    def description(self) -> str:
        """The files, in words."""
        return f"{self.content} in {', '.join(str(file) for file in self.files.values())}"


class Table(SplitFiles):
    """Files with one labelled row per text, or pair of texts.

    Files end in .csv, .tsv (both with a header), .jsonl or .ndjson (one object per line), all in UTF-8. A label is
    whatever its column says; two classes or more.
    """

    content = "own texts"

    def __init__(
        self,
        path: Path,
        validation_path: Path | None,
        test_path: Path | None,
        *,
        text_columns: Sequence[str],
        label_column: str,
        known_labels: tuple[str, ...] | None,
    ) -> None:
        super().__init__(path, validation_path, test_path)
        self.text_columns, self.label_column, self.known_labels = text_columns, label_column, known_labels

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The known classes, else those of the training file, sorted, by value if all are numbers.

        The latter reads every file once.

        Raises:
            UserError: a file or a row in it cannot be used (see `read_rows`), there is only one class, or the
                validation or test file has a class that the training file lacks.
        """
        if self.known_labels is not None:
            return self.known_labels
        train_labels = {row.label for row in self._rows("train")}
        if len(train_labels) < 2:
            raise UserError(
                f"{self.files['train']} has only the class {train_labels.pop()!r} in {self.label_column!r}: "
                "two or more are needed to tell apart."
            )
        for split in self.files:
            if split != "train":
                self._check_classes(split, train_labels)
        return tuple(_sorted_labels(train_labels))

    def labelled(self, split: str) -> Iterator[tuple[Row, int]]:
        """Yields the rows of a split's file in its order, each with the id of its class.

        Raises:
            UserError: as `read_rows` and `labels` do, or for a class that isn't among the known ones.
        """
        class_ids = {label: index for index, label in enumerate(self.labels)}
        for row in self._rows(split):
            if row.label not in class_ids:
                raise UserError(
                    f"{self.files[split]}, line {row.line}: the model was not trained on the class {row.label!r}, it "
                    f"knows {', '.join(class_ids)}: correct it or remove the row"
                )
            yield row, class_ids[row.label]

    def _rows(self, split: str) -> Iterator[Row]:
        return read_rows(self.files[split], text_columns=self.text_columns, label_column=self.label_column)

    def _check_classes(self, split: str, known: set[str]) -> None:
        for row in self._rows(split):
            if row.label not in known:
                raise UserError(
                    f"{self.files[split]}, line {row.line}: the class {row.label!r} is not in the training file, "
                    f"which has {', '.join(_sorted_labels(known))}; correct it or add training rows."
                )


class LabelledTable(Table):
    """Texts and labels; see `Table`."""

    def __init__(
        self,
        *,
        path: Path,
        validation_path: Path | None = None,
        test_path: Path | None = None,
        text_column: str = "text",
        label_column: str = "label",
        known_labels: tuple[str, ...] | None = None,
    ) -> None:
        """
        Args:
            path: training texts.
            validation_path: validation texts, if there is a file of them.
            test_path: test texts, if there is a file of them.
            text_column: column or key with the text.
            label_column: column or key with the class.
            known_labels: the classes of a trained model; None for those of the training file, two at least.
        """
        super().__init__(
            path,
            validation_path,
            test_path,
            text_columns=(text_column,),
            label_column=label_column,
            known_labels=known_labels,
        )

    @property
    def sources(self) -> Sources:
        """The files and the columns."""
        return Sources.of(f"table of {self.text_columns[0]!r} and {self.label_column!r}", self.files)

    def documents(self) -> Iterator[Document]:
        """Yields every row once, file by file (train, val, test); raises UserError as `labelled` does."""
        for split in self.files:
            for row, label in self.labelled(split):
                yield Document(split, row.texts[0], label)


class PairTable(Table):
    """Pairs of texts and labels; see `Table`."""

    has_deciding_words = False

    def __init__(
        self,
        *,
        path: Path,
        validation_path: Path | None = None,
        test_path: Path | None = None,
        first_column: str = "first",
        second_column: str = "second",
        label_column: str = "label",
        known_labels: tuple[str, ...] | None = None,
    ) -> None:
        """
        Args:
            path: training pairs.
            validation_path: validation pairs, if there is a file of them.
            test_path: test pairs, if there is a file of them.
            first_column: column or key with one text.
            second_column: column or key with the other.
            label_column: column or key with the class.
            known_labels: the classes of a trained model; None for those of the training file, two at least.
        """
        super().__init__(
            path,
            validation_path,
            test_path,
            text_columns=(first_column, second_column),
            label_column=label_column,
            known_labels=known_labels,
        )

    @property
    def sources(self) -> Sources:
        """The files and the columns."""
        first, second = self.text_columns
        return Sources.of(f"table of {first!r} and {self.label_column!r} with {second!r}", self.files)

    def pairs(self, split: str) -> Iterator[TextPair]:
        """Yields every row of a split's file in its order; raises UserError as `labelled` does."""
        for row, label in self.labelled(split):
            first, second = row.texts
            yield TextPair(first, second, label)


class TaggedFiles(SplitFiles):
    """Tagged sentences; see `read_tagged`."""

    content = "own tagged texts"

    def __init__(
        self,
        *,
        path: Path,
        validation_path: Path | None = None,
        test_path: Path | None = None,
        known_tags: tuple[str, ...] | None = None,
    ) -> None:
        """
        Args:
            path: training sentences.
            validation_path: validation sentences, if there is a file of them.
            test_path: test sentences, if there is a file of them.
            known_tags: the tags of a trained model; None for any.
        """
        super().__init__(path, validation_path, test_path)
        self.known_tags = known_tags

    @property
    def sources(self) -> Sources:
        """The files."""
        return Sources.of("tagged words", self.files)

    def sentences(self, split: str) -> Iterator[Tagged]:
        """Yields the sentences of a split; raises UserError as `read_tagged` does."""
        return read_tagged(self.files[split], known_tags=self.known_tags)


def _sorted_labels(labels: set[str]) -> list[str]:
    if all(NUMBER.fullmatch(label) for label in labels):
        return sorted(labels, key=lambda label: (float(label), label))
    return sorted(labels)
