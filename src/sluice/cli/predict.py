"""sluice predict: predicts the class of texts."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from sluice.cli.lines import batched, input_lines, print_notes
from sluice.data.corpora.table_files import is_table, read_texts
from sluice.data.corpora.table_writer import check_table_path, write_table
from sluice.errors import UserError, check_output, not_empty
from sluice.inference.predictor import Prediction, Predictor
from sluice.plain import PlainMapping
from sluice.recipes.load import load_for
from sluice.recipes.registry import recipe_of
from sluice.terminal import PlainConsole, print_line
from sluice.text.lines import STDIN

BATCH = 64
"""Texts per batch."""
NO_TEXT = "there is no text to predict: give one in quotes, --file, or lines on standard input"
COLUMN_SUFFIXES = (".conll", ".conllu", ".conllup")
"""Suffixes of files with a word in each line, which taggers are trained on."""

Item = TypeVar("Item")


class Input(NamedTuple):
    """An input and the row of a table in which it is."""

    texts: Sequence[str]
    row: PlainMapping

    @property
    def is_blank(self) -> bool:
        """Whether one of its texts is blank."""
        return not all(text.strip() for text in self.texts)


def predict_texts(
    run: Path,
    *,
    texts: list[str] | None,
    file: Path | None,
    text_columns: list[str] | None,
    output: Path | None,
    tokenized: bool | None,
    as_json: bool,
) -> None:
    """Prints the predicted class and its probability for each text or pair of texts, one per line of a file.

    Args:
        run: a run folder or a checkpoint.
        texts: the texts; None reads `file`, or standard input if that is None too.
        file: a table, or a file with one text per line (two separated by a tab for models of text pairs).
        text_columns: the columns of the texts in a table; None for those of the training data.
        output: a table to which the predictions are written next to the inputs, instead of printing them.
        tokenized: whether the texts are tokenised already; None for texts like those of training.
        as_json: print one JSON object per text.

    Raises:
        UserError: for contradictory options, an invalid checkpoint, an unreadable file or an incomplete pair.
    """
    table = file if file is not None and is_table(file) else None
    _check_options(texts, file, table, text_columns, output)
    model, predictor = load_for(run, Predictor, tokenized=tokenized)  # type: ignore[type-abstract]
    print_notes(model, as_json)
    columns = text_columns or recipe_of(model.config).text_columns(model.config)
    if table is not None:
        _check_columns(columns, len(predictor.fields))
    if texts:
        inputs = _inputs_of_arguments(predictor, texts)
    elif table is not None:
        inputs = (Input(found, row.fields) for row, found in read_texts(table, columns))
    else:
        inputs = _inputs_of_lines(predictor, file)
    interactive = not texts and file is None and sys.stdin.isatty()
    found = _predictions(predictor, not_empty(inputs, NO_TEXT), 1 if interactive else BATCH)
    if output is not None:
        write_table(output, _rows(predictor, found))
        print_line(f"Wrote {output}", file=sys.stderr)
    else:
        _print_predictions(predictor, found, as_json, details=interactive or bool(texts))


def _print_predictions(
    predictor: Predictor[Item], found: Iterable[tuple[Input, Prediction | None]], as_json: bool, *, details: bool
) -> None:
    """Prints a line for each input, and further lines with details if wanted."""
    console = PlainConsole(soft_wrap=True)
    for given, prediction in found:
        if as_json:
            nothing = {**dict(zip(predictor.fields, given.texts, strict=True)), "label": None}
            print(json.dumps(prediction.as_dict() if prediction else nothing, ensure_ascii=False))
        else:
            lines = prediction.lines() if prediction else [""]
            for line in lines if details else lines[:1]:
                console.print(line)


def _check_options(
    texts: list[str] | None, file: Path | None, table: Path | None, text_columns: list[str] | None, output: Path | None
) -> None:
    """Checks options that do not depend on the model.

    Raises:
        UserError: for options that exclude each other, an empty text or an output that is not a table.
    """
    if texts and file:
        raise UserError("give texts or --file, not both")
    if file is not None and file.name.lower().removesuffix(".gz").endswith(COLUMN_SUFFIXES):
        raise UserError(f"{file} has a word in each line: give a file with a text or sentence in each line")
    if text_columns and table is None:
        raise UserError("--text-column has no effect without a table: give it with --file, or omit it")
    empty = next((number for number, text in enumerate(texts or (), start=1) if not text.strip()), None)
    if empty is not None:
        raise UserError(f"text {empty} is empty: it has no words")
    if output is not None:
        check_table_path(output)
        check_output("--output", output)
        if file is not None and output.exists() and file.exists() and output.samefile(file):
            raise UserError(f"--output {output} is the file that is read: choose another name")


def _check_columns(columns: Sequence[str], needed: int) -> None:
    """Checks the columns of the texts in a table.

    Raises:
        UserError: if one is named twice, or their number is not that of the texts that the model takes.
    """
    twice = next((column for column in columns if list(columns).count(column) > 1), None)
    if twice is not None:
        raise UserError(f"--text-column {twice} is given twice: name different columns")
    if len(columns) != needed:
        raise UserError(f"--text-column names {len(columns)} column(s): this model needs {needed}")


def _inputs_of_arguments(predictor: Predictor[Item], texts: list[str]) -> Iterator[Input]:
    for parts in predictor.split_arguments(texts):
        yield Input(parts, dict(zip(predictor.fields, parts, strict=True)))


def _inputs_of_lines(predictor: Predictor[Item], file: Path | None) -> Iterator[Input]:
    for number, line in enumerate(input_lines(file), start=1):
        parts = predictor.split_line(line, f"{file or STDIN}, line {number}")
        yield Input(parts, dict(zip(predictor.fields, parts, strict=True)))


def _predictions(
    predictor: Predictor[Item], inputs: Iterable[Input], batch_size: int
) -> Iterator[tuple[Input, Prediction | None]]:
    """Yields each input with its prediction, None for an input with a blank text unless the model answers these."""
    for batch in batched(inputs, batch_size):
        answered = [predictor.answers_blank or not given.is_blank for given in batch]
        items = [predictor.item(given.texts) for given, wanted in zip(batch, answered, strict=True) if wanted]
        found = iter(predictor.predict(items) if items else ())
        for given, wanted in zip(batch, answered, strict=True):
            yield given, next(found) if wanted else None


def _rows(predictor: Predictor[Item], found: Iterable[tuple[Input, Prediction | None]]) -> Iterator[PlainMapping]:
    for given, prediction in found:
        taken = next((name for name in predictor.columns if name in given.row), None)
        if taken is not None:
            raise UserError(f"the table has a column {taken!r} already: rename it before adding predictions")
        yield {**given.row, **(prediction.columns() if prediction else dict.fromkeys(predictor.columns))}
