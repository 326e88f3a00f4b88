"""A person's own labelled texts, from files with one text per row."""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from sluice.data.fingerprints import SourceFile, Sources
from sluice.data.sources import Document
from sluice.data.table_rows import Row, read_rows
from sluice.errors import UserError

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


class LabelledTable:
    """Texts and labels from a training file and, if there are, a validation and a test file.

    Files end in .csv, .tsv (both with a header), .jsonl or .ndjson (one object per line), all in UTF-8. A label is
    whatever its column says; two classes or more. Splits without a file are left for others to cut from "train".
    """

    name = "file"

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
        self.known_labels = known_labels
        self.text_column = text_column
        self.label_column = label_column
        paths = {"train": path, "val": validation_path, "test": test_path}
        self.files = {split: file for split, file in paths.items() if file is not None}

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

    @property
    def description(self) -> str:
        """The files, for people."""
        return f"own texts in {', '.join(str(file) for file in self.files.values())}"

    @property
    def sources(self) -> Sources:
        """The files and the columns."""
        files = tuple(SourceFile(split, file) for split, file in self.files.items())
        return Sources(f"table of {self.text_column!r} and {self.label_column!r}", files)

    def documents(self) -> Iterator[Document]:
        """Yields every row once, file by file (train, val, test) and in the files' order; a split needs its file.

        Raises:
            UserError: as `labels` does, or for a class that isn't among the known ones.
        """
        class_ids = {label: index for index, label in enumerate(self.labels)}
        for split, file in self.files.items():
            for row in self._rows(split):
                yield Document(split, row.text, class_id(row, class_ids, file))

    def _rows(self, split: str) -> Iterator[Row]:
        return read_rows(self.files[split], text_column=self.text_column, label_column=self.label_column)

    def _check_classes(self, split: str, known: set[str]) -> None:
        for row in self._rows(split):
            if row.label not in known:
                raise UserError(
                    f"{self.files[split]}, line {row.line}: the class {row.label!r} is not in the training file, "
                    f"which has {', '.join(_sorted_labels(known))}; correct it or add training rows."
                )


def class_id(row: Row, class_ids: dict[str, int], file: Path) -> int:
    """The id of a row's class.

    Raises:
        UserError: if there is none.
    """
    if row.label not in class_ids:
        raise UserError(
            f"{file}, line {row.line}: the model was not trained on the class {row.label!r}, it knows "
            f"{', '.join(class_ids)}: correct it or remove the row"
        )
    return class_ids[row.label]


def _sorted_labels(labels: set[str]) -> list[str]:
    if all(NUMBER.fullmatch(label) for label in labels):
        return sorted(labels, key=lambda label: (float(label), label))
    return sorted(labels)
