"""Reading of tagged words."""

from collections.abc import Iterator
from pathlib import Path

from sluice.data.corpus import TaggedSentence
from sluice.errors import UserError
from sluice.text.lines import read_lines


def read_tagged(path: Path, *, known_tags: tuple[str, ...] | None = None) -> Iterator[TaggedSentence]:
    """Yields the sentences of a UTF-8 file with a word and its label per line and an empty line after each sentence.

    Word and label are separated by a tab or by spaces.

    Args:
        path: path of the file.
        known_tags: allowed labels; None for any.

    Raises:
        UserError: if the file is missing or has no sentences, or a line does not have two columns, is not UTF-8 or has
            an unknown label.
    """
    words: list[str] = []
    tags: list[str] = []
    empty = True
    for number, line in enumerate(read_lines(path), start=1):
        line = line.strip("\r\n ")
        fields = line.split("\t") if "\t" in line else line.split()
        if fields and len(fields) != 2:
            raise UserError(
                f"{path}, line {number}: {len(fields)} column(s), expected 2, a word and its label; "
                "end a sentence with an empty line."
            )
        if fields and known_tags is not None and fields[1] not in known_tags:
            raise UserError(
                f"{path}, line {number}: the model was not trained on the tag {fields[1]!r}, only on "
                f"{', '.join(known_tags)}: correct the tag or remove the sentence"
            )
        if fields:
            words.append(fields[0])
            tags.append(fields[1])
        elif words:
            empty = False
            yield TaggedSentence(tuple(words), tuple(tags))
            words, tags = [], []
    if words:
        yield TaggedSentence(tuple(words), tuple(tags))
    elif empty:
        raise UserError(f"{path} has no sentences: put a word and its label on each line.")
