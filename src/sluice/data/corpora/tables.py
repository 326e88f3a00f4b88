"""User-supplied labelled files: texts and text pairs."""

import logging
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from sluice.data.corpora.table_files import LabelledRow, check_kind, read_labelled
from sluice.data.corpus import Document, SourceFile, Sources, TextPair
from sluice.data.identity import hashes_of
from sluice.data.splits import assign_folds
from sluice.errors import UserError

log = logging.getLogger(__name__)

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True)
class Fold:
    """A fold of the training file that is the test split, for cross-validation."""

    index: int
    """0, ..., count - 1."""
    count: int


class SplitFiles:
    """A training file and optional validation and test files."""

    name = "file"
    content: ClassVar[str]
    """Description of the content of the files."""

    def __init__(self, path: Path, validation_path: Path | None, test_path: Path | None) -> None:
        """Arguments as in `LabelledTable`."""
        paths = {"train": path, "val": validation_path, "test": test_path}
        self.files = {split: file for split, file in paths.items() if file is not None}

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits with a file; the others are held out from "train" later."""
        return tuple(self.files)

    @property
    def description(self) -> str:
        """Description of the files."""
        return f"{self.content} in {', '.join(str(file) for file in self.files.values())}"

    def sources_with(self, recipe: str) -> Sources:
        """Returns the sources: the files, and those of folders; `recipe` describes how they are read."""
        files = [
            SourceFile(split, file)
            for split, path in self.files.items()
            for file in ([path] if not path.is_dir() else sorted(part for part in path.iterdir() if part.is_file()))
        ]
        return Sources(recipe, tuple(files))


class Table(SplitFiles):
    """Files with one labelled text or text pair per row, with at least two classes.

    See `read_table` for the formats. Class names are stripped and normalised to NFC.
    """

    content = "labelled texts"

    def __init__(
        self,
        path: Path,
        validation_path: Path | None,
        test_path: Path | None,
        *,
        text_columns: Sequence[str],
        label_column: str,
        known_labels: tuple[str, ...] | None,
        fold: Fold | None,
    ) -> None:
        """Arguments as in `LabelledTable`, with one or more text columns.

        Raises:
            UserError: if a column is named twice, or a file is no table.
        """
        super().__init__(path, validation_path, test_path)
        for file in self.files.values():
            check_kind(file)
        self.fold = fold
        self.text_columns, self.label_column = text_columns, label_column
        self.known_labels = None if known_labels is None else tuple(map(_class_name, known_labels))
        named = [*text_columns, label_column]
        repeated = next((name for name in named if named.count(name) > 1), None)
        if repeated is not None:
            raise UserError(
                f"the column {repeated!r} is named twice among those of texts and labels: name different columns"
            )

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The known classes, or the sorted classes of the training file (numerically if all are numbers).

        Determining the classes reads every file once.

        Raises:
            UserError: as `read_labelled`, or if there is only one class, or the validation or test file has a class
                that is not in the training file.
        """
        if self.known_labels is not None:
            return self.known_labels
        train_labels = {row.label for row in self._rows("train")}
        if len(train_labels) < 2:
            raise UserError(
                f"{self.files['train']} has only the class {train_labels.pop()!r} in {self.label_column!r}: "
                "classification needs at least two"
            )
        _warn_of_similar(train_labels, self.files["train"])
        for split in self.files:
            if split != "train":
                self._check_classes(split, train_labels)
        return tuple(_sorted_labels(train_labels))

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits with a file, and "test" with folds; the others are held out from "train" later."""
        return super().splits if self.fold is None else (*super().splits, "test")

    @property
    def whole_sources(self) -> Sources | None:
        """The sources without the fold; None without folds."""
        return None if self.fold is None else super().sources_with(self.recipe)

    @property
    def recipe(self) -> str:
        """Description of how the files are read, for the fingerprint."""
        raise NotImplementedError

    @property
    def sources(self) -> Sources:
        """The files, the columns and the fold."""
        fold = "" if self.fold is None else f", test fold {self.fold.index} of {self.fold.count}"
        return self.sources_with(self.recipe + fold)

    @cached_property
    def _in_fold(self) -> list[bool]:
        """Whether each row of the training file is in the test fold."""
        assert self.fold is not None
        class_ids = {label: index for index, label in enumerate(self.labels)}
        rows = list(self._rows("train"))
        labels = np.asarray([class_ids[row.label] for row in rows], dtype=np.int64)
        folds = assign_folds(labels, hashes_of(row.texts for row in rows), self.fold.count, self.labels)
        return [bool(fold == self.fold.index) for fold in folds]

    def labelled(self, split: str) -> Iterator[tuple[LabelledRow, int]]:
        """Yields the rows of a split in order, each with its class id.

        Raises:
            UserError: as `read_labelled` and `labels`, or for an unknown class.
        """
        class_ids = {label: index for index, label in enumerate(self.labels)}
        folded = self.fold is not None and split in ("train", "test")
        file = "train" if folded else split
        for number, row in enumerate(self._rows(file)):
            if folded and self._in_fold[number] != (split == "test"):
                continue
            if row.label not in class_ids:
                raise UserError(
                    f"{self.files[file]}, line {row.line}: the model was not trained on the class {row.label!r}, "
                    f"only on {', '.join(class_ids)}: correct the class or remove the row"
                )
            yield row, class_ids[row.label]

    def _rows(self, split: str) -> Iterator[LabelledRow]:
        path = self.files[split]
        for row in read_labelled(path, text_columns=self.text_columns, label_column=self.label_column):
            yield row._replace(label=_class_name(row.label))

    def _check_classes(self, split: str, known: set[str]) -> None:
        for row in self._rows(split):
            if row.label not in known:
                raise UserError(
                    f"{self.files[split]}, line {row.line}: the class {row.label!r} is not in the training file, "
                    f"which has {', '.join(_sorted_labels(known))}; correct it or add training rows"
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
        fold: Fold | None = None,
    ) -> None:
        """
        Args:
            path: file of training texts.
            validation_path: file of validation texts, if any.
            test_path: file of test texts, if any.
            text_column: column or key of the text.
            label_column: column or key of the class.
            known_labels: classes of a trained model; None for those of the training file.
            fold: fold of the training file that is the test split; None for none.
        """
        super().__init__(
            path,
            validation_path,
            test_path,
            text_columns=(text_column,),
            label_column=label_column,
            known_labels=known_labels,
            fold=fold,
        )

    @property
    def recipe(self) -> str:
        return f"table of {self.text_columns[0]!r} and {self.label_column!r}"

    def documents(self) -> Iterator[Document]:
        """Yields every row once, split by split; raises UserError as `labelled`."""
        for split in self.splits:
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
        fold: Fold | None = None,
    ) -> None:
        """
        Args:
            path: file of training pairs.
            validation_path: file of validation pairs, if any.
            test_path: file of test pairs, if any.
            first_column: column or key of the first text.
            second_column: column or key of the second text.
            label_column: column or key of the class.
            known_labels: classes of a trained model; None for those of the training file.
            fold: fold of the training file that is the test split; None for none.
        """
        super().__init__(
            path,
            validation_path,
            test_path,
            text_columns=(first_column, second_column),
            label_column=label_column,
            known_labels=known_labels,
            fold=fold,
        )

    @property
    def recipe(self) -> str:
        first, second = self.text_columns
        return f"table of {first!r} and {self.label_column!r} with {second!r}"

    def pairs(self, split: str) -> Iterator[TextPair]:
        """Yields the rows of a split in order; raises UserError as `labelled`."""
        for row, label in self.labelled(split):
            first, second = row.texts
            yield TextPair(first, second, label)


def _sorted_labels(labels: set[str]) -> list[str]:
    if all(NUMBER.fullmatch(label) for label in labels):
        return sorted(labels, key=lambda label: (float(label), label))
    return sorted(labels)


def _class_name(label: str) -> str:
    return unicodedata.normalize("NFC", label.strip())


def _warn_of_similar(labels: Iterable[str], path: Path) -> None:
    """Warns of classes that differ only in case, spaces, number format or invisible characters."""
    groups: dict[str, list[str]] = {}
    for label in sorted(labels):
        groups.setdefault(_simplified(label), []).append(label)
    similar = [" and ".join(map(_quoted, group)) for group in groups.values() if len(group) > 1]
    if similar:
        log.warning(
            "%s has classes that differ only in case, spaces, number format or invisible characters: %s. "
            "They are different classes; correct the file if they should be one.",
            path,
            "; ".join(similar),
        )


def _simplified(label: str) -> str:
    compatible = unicodedata.normalize("NFKC", label)
    visible = "".join(char for char in compatible if unicodedata.category(char) != "Cf").split()
    text = "".join(visible).casefold()
    return str(float(text)) if NUMBER.fullmatch(text) else text


def _quoted(label: str) -> str:
    """Quotes a class name; invisible characters are escaped."""
    return ascii(label) if any(unicodedata.category(char) == "Cf" for char in label) else repr(label)
