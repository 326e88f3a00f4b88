"""A person's own labelled pairs of texts, from files with one pair per row."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sluice.data.fingerprints import Sources
from sluice.data.table_rows import read_rows
from sluice.data.tables import LabelledTable, class_id
from sluice.data.text_pairs import TextPair


class PairTable:
    """Pairs and labels from a training file and, if there are, a validation and a test file; see LabelledTable."""

    name = "file"
    knows_deciding = False

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
            known_labels: the classes of a trained model; None for those of the training file.
        """
        self.first_column, self.second_column, self.label_column = first_column, second_column, label_column
        self._table = LabelledTable(
            path=path,
            validation_path=validation_path,
            test_path=test_path,
            text_column=first_column,
            label_column=label_column,
            known_labels=known_labels,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes of the training file; raises UserError as LabelledTable's does."""
        return self._table.labels

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have a file; the others are cut from "train" later."""
        return tuple(self._table.files)

    @property
    def description(self) -> str:
        """The files, for people."""
        return self._table.description

    @property
    def sources(self) -> Sources:
        """The files and the columns."""
        own = self._table.sources
        return replace(own, recipe=f"{own.recipe} with {self.second_column!r}")

    def pairs(self, split: str) -> Iterator[TextPair]:
        """Yields every row of a split's file in its order.

        Raises:
            UserError: as `read_rows` does, or for a class that isn't among the known ones.
        """
        class_ids = {label: index for index, label in enumerate(self.labels)}
        file, label_column = self._table.files[split], self.label_column
        firsts = read_rows(file, text_column=self.first_column, label_column=label_column)
        seconds = read_rows(file, text_column=self.second_column, label_column=label_column)
        for first, second in zip(firsts, seconds, strict=True):
            yield TextPair(first.text, second.text, class_id(first, class_ids, file))
