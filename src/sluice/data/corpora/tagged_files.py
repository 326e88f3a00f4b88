"""User-supplied files of tagged words: CoNLL-2002, CoNLL-2003, CoNLL-U and other files with one word per line.

Columns are separated by tabs in lines that contain one (words may then contain blanks), otherwise by blanks. A line of
blanks and tabs ends a sentence, as does a line that begins with -DOCSTART-. A first row of column names is skipped if a
column is chosen by its name.

CoNLL-U files end in .conllu or .conllup, or name their columns in a line `# global.columns =`, or have ten columns
separated by tabs, the first one with a number. Their lines that begin with # are comments; multiword tokens (1-2) and
empty nodes (1.1) are skipped. In other files a line that begins with # is a comment only if it stands before the first
word of a sentence and is `# key = value`, `# newdoc` or `# newpar`, or begins with "# " and is not like the rows of the
file: it has another number of columns (too few if both columns are given by numbers from 1), or no tab although they
have. "# O" is the word # in a file of two columns.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from sluice.data.corpora.tables import SplitFiles
from sluice.data.corpus import Sources, TaggedSentence
from sluice.errors import UserError
from sluice.text.lines import check_not_pipe, is_packed, read_lines

CONLLU_COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
CONLLU_SUFFIXES = (".conllu", ".conllup")
DOCUMENT_START = "-DOCSTART-"
MAX_SINGLE_SENTENCE = 500
"""Maximum number of words of the only sentence of a file."""
HEADER_WORDS = {"word", "words", "token", "tokens", "form", "text"}
HEADER_TAGS = {"tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "pos", "upos", "xpos"}
"""Lower-cased names by which a header row is recognised."""
_COLUMN_NAMES = re.compile(r"#\s*global\.columns\s*=\s*(.+)")
_COMMENT = re.compile(r"# +(newdoc|newpar)\b|# +[\w.:-]+ += ")
_CONLLU_ID = re.compile(r"\d+([-.]\d+)?")


class TagColumns(NamedTuple):
    """Columns of the words and of the tags: a name, or a number, from 1 or, counted from the end, from -1.

    None is the first column for the words and the last for the tags, in CoNLL-U files FORM and UPOS.
    """

    word: str | None = None
    tag: str | None = None


class _Layout(NamedTuple):
    """Where the words and tags of a file are."""

    word: int
    tag: int
    """Indices of the columns, from the end if negative."""
    width: int
    """Number of columns of the first row."""
    is_fixed: bool
    """Whether all rows must have as many columns as the first one, instead of all rows of a sentence."""
    first: int
    """Line of the first row, or of the header row."""
    has_header: bool
    is_conllu: bool
    is_tabbed: bool


def read_tagged(
    path: Path,
    columns: TagColumns | None = None,
    *,
    known_tags: tuple[str, ...] | None = None,
    training_file: Path | None = None,
) -> Iterator[TaggedSentence]:
    """Yields the sentences of a UTF-8 file with a word and its tag on each line; see the module for the formats.

    Args:
        path: path of the file.
        columns: the columns of words and tags; None for the default ones.
        known_tags: allowed tags; None for any.
        training_file: the file that has the known tags; None if they are those of a trained model.

    Raises:
        UserError: if the file is missing, a pipe, not UTF-8, has no sentences or a long text without empty lines, a
            column is missing, or a line has too few or too many columns, an empty word or tag, or an unknown tag.
    """
    columns = columns or TagColumns()
    check_not_pipe(path)
    layout = _layout_of(path, columns)
    known = None if known_tags is None else {unicodedata.normalize("NFC", tag): tag for tag in known_tags}
    words, tags, sentences, length = list[str](), list[str](), 0, 0
    for number, fields in chain(_rows(path, layout), [(0, list[str]())]):
        if fields:
            words.append(_field(path, number, fields, layout.word, "word"))
            tag = unicodedata.normalize("NFC", _field(path, number, fields, layout.tag, "tag"))
            if known is not None and tag not in known:
                raise _unknown_tag(path, number, tag, known, training_file)
            tags.append(tag if known is None else known[tag])
        elif words:
            sentences += 1
            if sentences == 1 and columns.word is None and layout.width > 2:
                _check_not_numbers(path, words)
            yield TaggedSentence(tuple(words), tuple(tags))
            length, words, tags = len(words), [], []
    if not sentences:
        raise UserError(f"{path} has no sentences: put a word and its tag on each line")
    if sentences == 1 and length > MAX_SINGLE_SENTENCE:
        raise UserError(f"{path} is a single sentence of {length:,} words: end each sentence with an empty line")


def _rows(path: Path, layout: _Layout) -> Iterator[tuple[int, list[str]]]:
    """Yields the line number and the fields of each word, and an empty list at the end of a sentence."""
    fixed = layout.width if layout.is_fixed else None
    width, inside = fixed, False
    for number, line in enumerate(read_lines(path), start=1):
        fields = _fields_of(line)
        if number == layout.first and layout.has_header:
            continue
        if not fields or fields[0].startswith(DOCUMENT_START):
            width, inside = fixed, False
            yield number, []
        elif not _is_comment(line, fields, layout, inside) and not (
            layout.is_conllu and re.fullmatch(r"\d+[-.]\d+", fields[0])
        ):
            width, inside = width or len(fields), True
            if len(fields) != width:
                raise UserError(
                    f"{path}, line {number}: {len(fields)} column(s), expected {width} as before; separate columns by "
                    "tabs if words contain blanks, and end a sentence with an empty line"
                )
            yield number, fields


def _fields_of(line: str) -> list[str]:
    """Returns the stripped fields of a line; an empty list for a line of blanks and tabs."""
    if not line.strip():
        return []
    fields = line.split("\t") if "\t" in line else line.strip(" ").split(" ")
    return [field.strip() for field in fields if field or "\t" in line]


def _is_comment(line: str, fields: list[str], layout: _Layout, inside: bool) -> bool:
    if layout.is_conllu:
        return line.startswith("#")
    if inside or not line.startswith("#"):
        return False
    has_width = len(fields) == layout.width if layout.is_fixed else len(fields) > max(layout.word, layout.tag)
    is_row = has_width and ("\t" in line) == layout.is_tabbed
    has_text = fields[0] == "#" and len(fields) > 1
    return ("\t" not in line and bool(_COMMENT.match(line))) or (has_text and not is_row)


def _field(path: Path, number: int, fields: list[str], index: int, name: str) -> str:
    if index >= len(fields):
        raise UserError(
            f"{path}, line {number}: {len(fields)} column(s), but the {name}s are in column {index + 1}; add the "
            f"column, or set task.data.{name}_column"
        )
    if not fields[index]:
        raise UserError(
            f"{path}, line {number}: the {name} is empty; fill it in, or set task.data.{name}_column to the column of "
            f"the {name}s"
        )
    return fields[index]


def _layout_of(path: Path, columns: TagColumns) -> _Layout:
    """Finds the columns of a file, from its name and its lines up to the first row."""
    names, first, line, fields = _head(path)
    is_tabbed = "\t" in line
    looks_like_conllu = is_tabbed and len(fields) == len(CONLLU_COLUMNS) and bool(_CONLLU_ID.fullmatch(fields[0]))
    is_conllu = bool(names) or looks_like_conllu or _has_conllu_suffix(path)
    if is_conllu:
        names = names or list(CONLLU_COLUMNS)
        columns = TagColumns(columns.word or "FORM", columns.tag or "UPOS")
    columns = TagColumns(columns.word or "1", columns.tag or "-1")
    has_header = not is_conllu and not (is_column_number(columns.word) and is_column_number(columns.tag))
    known = fields if has_header else names
    word, tag = (_index(path, name, column, known, len(fields)) for name, column in columns._asdict().items())
    if fields and (word - tag) % len(fields) == 0:
        remedy = "separate words and tags by a tab or a blank" if len(fields) == 1 else "set task.data.tag_column too"
        raise UserError(
            f"{path}, line {first}: words and tags are both in column {word % len(fields) + 1} of {len(fields)}; "
            f"{remedy}"
        )
    if fields and not has_header and not is_conllu:
        _check_no_header(path, first, fields[word], fields[tag])
    is_fixed = has_header or is_conllu or min(word, tag) < 0
    return _Layout(word, tag, len(fields), is_fixed, first, has_header, is_conllu, is_tabbed)


def _head(path: Path) -> tuple[list[str], int, str, list[str]]:
    """Returns the names in `# global.columns`, and the line number, the line and the fields of the first row."""
    names, found = list[str](), (0, "", list[str]())
    for number, line in enumerate(read_lines(path), start=1):
        if match := _COLUMN_NAMES.match(line):
            names = match[1].split()
        fields = _fields_of(line)
        if not fields or fields[0].startswith(DOCUMENT_START):
            continue
        if not line.startswith("#"):
            return names, number, line, fields
        found = found if found[0] else (number, line, fields)
    return (names, *found)


def is_column_number(column: str | None) -> bool:
    """Returns whether a column is chosen by its number."""
    return column is not None and bool(re.fullmatch(r"[+-]?\d+", column))


def _index(path: Path, name: str, column: str, known: list[str], width: int) -> int:
    """Returns the index of a column, from the end if negative.

    Args:
        path: path of the file, for messages.
        name: "word" or "tag".
        column: its number or name.
        known: names of the columns, if any.
        width: number of columns of the first row; 0 for an empty file.

    Raises:
        UserError: if the file has no such column.
    """
    if is_column_number(column):
        number = int(column)
        if width and not 0 < abs(number) <= width:
            raise UserError(
                f"{path} has {width} column(s), no column {number} of {name}s: set task.data.{name}_column to a number "
                f"from 1 to {width}, or to a name in the header row"
            )
        return number - 1 if number > 0 else number
    if column in known[: width or None]:
        return known.index(column)
    if not width:
        return 0
    known = known[:width]
    raise UserError(
        f"{path} has no column {column!r}: set task.data.{name}_column to one of {', '.join(map(repr, known))}, or to "
        f"a number from 1 to {width}"
    )


def _check_no_header(path: Path, line: int, word: str, tag: str) -> None:
    if word.lower() in HEADER_WORDS and tag.lower() in HEADER_TAGS:
        raise UserError(
            f"{path}, line {line}: {word!r} and {tag!r} are names of columns; set task.data.word_column={word} and "
            f"task.data.tag_column={tag} to skip the row"
        )


def _check_not_numbers(path: Path, words: list[str]) -> None:
    """Refuses a first sentence whose words are 1, 2, 3, ..."""
    if len(words) > 1 and words == [str(number + 1) for number in range(len(words))]:
        raise UserError(
            f"{path}: the words of the first sentence are the numbers 1 to {len(words)}; set task.data.word_column to "
            "the column of the words, such as 2"
        )


def _unknown_tag(path: Path, number: int, tag: str, known: Iterable[str], training_file: Path | None) -> UserError:
    listed = ", ".join(known)
    if training_file is not None:
        return UserError(
            f"{path}, line {number}: the tag {tag!r} does not occur in the training sentences of {training_file}, only "
            f"{listed}; correct the tag, or add a training sentence with it"
        )
    return UserError(
        f"{path}, line {number}: the model was not trained on the tag {tag!r}, only on {listed}: correct the tag or "
        "remove the sentence"
    )


class TaggedFiles(SplitFiles):
    """Tagged sentences; see `read_tagged`."""

    content = "tagged sentences"

    def __init__(
        self,
        *,
        path: Path,
        validation_path: Path | None = None,
        test_path: Path | None = None,
        columns: TagColumns | None = None,
        known_tags: tuple[str, ...] | None = None,
    ) -> None:
        """
        Args:
            path: file of training sentences.
            validation_path: file of validation sentences, if any.
            test_path: file of test sentences, if any.
            columns: the columns of words and tags; None for the default ones.
            known_tags: tags of a trained model; None for those of the training file.
        """
        super().__init__(path, validation_path, test_path)
        self.columns, self.known_tags = columns or TagColumns(), known_tags

    @property
    def sources(self) -> Sources:
        """The files, the columns if chosen, and which files are CoNLL-U by their name."""
        recipe = "tagged words"
        if any(self.columns):
            recipe += f" of columns {self.columns.word!r} and {self.columns.tag!r}"
        if conllu := [split for split, file in self.files.items() if _has_conllu_suffix(file)]:
            recipe += f" in CoNLL-U files of {', '.join(conllu)}"
        return Sources.of(recipe, self.files)

    def sentences(self, split: str) -> Iterator[TaggedSentence]:
        """Yields the sentences of a split; raises UserError as `read_tagged`."""
        known, training_file = self.known_tags, None
        if known is None and split != "train":
            known, training_file = self._training_tags, self.files["train"]
        return read_tagged(self.files[split], self.columns, known_tags=known, training_file=training_file)

    @cached_property
    def _training_tags(self) -> tuple[str, ...]:
        sentences = read_tagged(self.files["train"], self.columns)
        return tuple(sorted(set(chain.from_iterable(sentence.tags for sentence in sentences))))


def _has_conllu_suffix(path: Path) -> bool:
    return Path(path.stem if is_packed(path) else path).suffix.lower() in CONLLU_SUFFIXES
