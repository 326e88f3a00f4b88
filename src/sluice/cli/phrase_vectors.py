"""sluice embeddings phrases: what a translator's encoder makes of whole phrases."""

import sys
from pathlib import Path

from sluice.analysis.embedding_space import EmbeddingSpace
from sluice.cli.predict import read_lines
from sluice.cli.word_vectors import print_nearest, write_map
from sluice.errors import UserError
from sluice.inference.translator import Translator
from sluice.recipes.load import load_for
from sluice.terminal import print_line


def print_phrases(
    run: Path,
    *,
    texts: list[str] | None,
    file: Path | None,
    mean: bool,
    top: int,
    manhattan: bool,
    png: Path | None,
    projector: Path | None,
    as_json: bool,
) -> None:
    """Prints the phrases nearest to each phrase, and draws all of them.

    Args:
        run: a translator's folder or checkpoint.
        texts: the phrases; None takes the lines of `file`, or of standard input where that is None too.
        file: a phrase a line.
        mean: the mean of the encoder's outputs over the words instead of its final state.
        top: how many of each.
        manhattan: nearest by the Manhattan distance instead of the cosine.
        png: the map; None for none.
        projector: a new folder for TensorBoard's projector; None for none.
        as_json: one JSON object a phrase.

    Raises:
        UserError: for a checkpoint that isn't one of a translator's, fewer than two different phrases, one without a
            word, or pictures that are there already or cannot be written.
    """
    if texts and file:
        raise UserError("give phrases or --file, not both")
    _, translator = load_for(run, Translator)
    phrases = list(dict.fromkeys(text.strip() for text in texts or read_lines(file)))
    if len(phrases) < 2:
        raise UserError(f"phrases are compared with each other: give at least two different ones, got {len(phrases)}")
    _check_words(translator, phrases)
    vectors = translator.encode(phrases, mean=mean)
    if png is not None or projector is not None:
        write_map(phrases, vectors, title=str(run), png=png, projector=projector)
    space = EmbeddingSpace(phrases, vectors)
    for phrase in phrases:
        found = space.neighbours(phrase, top, "manhattan" if manhattan else "cosine")
        print_nearest({"phrase": phrase}, phrase, found, as_json)


def _check_words(translator: Translator, phrases: list[str]) -> None:
    """
    Raises:
        UserError: for a phrase without a word; phrases of unknown words alone are reported.
    """
    for phrase in phrases:
        ids = translator.source.encode(phrase)
        if not ids:
            raise UserError(f"{phrase!r} is empty: there is no word in it to read")
        if not any(ids):
            print_line(f"note: the model knows no word of {phrase!r}", file=sys.stderr)
