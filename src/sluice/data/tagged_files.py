"""Sentences with a label for each word, from a person's own files."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sluice.data.fingerprints import SourceFile, Sources
from sluice.errors import UserError


class Tagged(NamedTuple):
    """A sentence, word by word."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


class TaggedFiles:
    """Tagged sentences from a training file and, if there are, a validation and a test file; see `read_tagged`."""

    name = "file"

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
        self.known_tags = known_tags
        paths = {"train": path, "val": validation_path, "test": test_path}
        self.files = {split: file for split, file in paths.items() if file is not None}

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have a file; the others are cut from "train" later."""
        return tuple(self.files)

    @property
    def description(self) -> str:
        """The files, for people."""
        return f"own tagged texts in {', '.join(str(file) for file in self.files.values())}"

    @property
    def sources(self) -> Sources:
        """The files."""
        return Sources("tagged words", tuple(SourceFile(split, file) for split, file in self.files.items()))

    def sentences(self, split: str) -> Iterator[Tagged]:
        """Yields the sentences of a split; raises UserError as `read_tagged` does."""
        return read_tagged(self.files[split], known_tags=self.known_tags)


def read_tagged(path: Path, *, known_tags: tuple[str, ...] | None = None) -> Iterator[Tagged]:
    """Yields the sentences of a file: a word and its label on each line, an empty line after each sentence.

    The two stand apart by a tab, or else by blanks; the file is in UTF-8.

    Args:
        path: the file.
        known_tags: the labels there may be; None for any.

    Raises:
        UserError: the file is missing or holds no sentence, or a line has not two columns, isn't UTF-8 or has an
            unknown label.
    """
    words: list[str] = []
    tags: list[str] = []
    empty = True
    for number, line in _lines(path):
        fields = line.split("\t") if "\t" in line else line.split()
        if fields and len(fields) != 2:
            raise UserError(
                f"{path}, line {number}: {len(fields)} column(s), expected 2, a word and its label; "
                "end a sentence with an empty line."
            )
        if fields and known_tags is not None and fields[1] not in known_tags:
            raise UserError(
                f"{path}, line {number}: the model was not trained on the tag {fields[1]!r}, it knows "
                f"{', '.join(known_tags)}: correct it or remove the sentence"
            )
        if fields:
            words.append(fields[0])
            tags.append(fields[1])
        elif words:
            empty = False
            yield Tagged(tuple(words), tuple(tags))
            words, tags = [], []
    if words:
        yield Tagged(tuple(words), tuple(tags))
    elif empty:
        raise UserError(f"{path} holds no sentence: give it a word and its label on each line.")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n ")
    except UnicodeDecodeError:
        raise UserError(f"{path}, line {number}: not UTF-8; save the file as UTF-8.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path.") from error
