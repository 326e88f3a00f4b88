"""sluice embeddings phrases: nearest neighbours of phrases by the encoder of a translation model."""

import sys
from collections.abc import Iterable
from pathlib import Path

from sluice.cli.lines import input_lines, print_notes
from sluice.cli.word_vectors import print_nearest, write_plot
from sluice.errors import UserError
from sluice.inference.embeddings import Embeddings
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
    tokenized: bool | None,
    as_json: bool,
) -> None:
    """Prints the nearest neighbours of each phrase among the others, and plots all phrases.

    Args:
        run: a run folder or checkpoint of a translation model.
        texts: the phrases; None reads the lines of `file`, or of standard input if that is None too.
        file: a file with one phrase per line.
        mean: use the mean of the encoder's outputs instead of its final state.
        top: the number of neighbours of each phrase.
        manhattan: use the Manhattan distance instead of the cosine.
        png: the file of the plot; None for no plot.
        projector: a new folder for TensorBoard's projector; None for none.
        tokenized: whether the phrases are tokenised already; None for phrases like the training sentences.
        as_json: print one JSON object per phrase.

    Raises:
        UserError: if the checkpoint is not of a translation model, there are fewer than two different phrases, one has
            no tokens, or an output exists already or cannot be written.
    """
    if texts and file:
        raise UserError("give phrases or --file, not both")
    model, translator = load_for(run, Translator, tokenized=tokenized)
    print_notes(model, as_json)
    phrases = _distinct(texts or input_lines(file))
    _check_words(translator, phrases)
    vectors = translator.encode(phrases, mean=mean)
    if png is not None or projector is not None:
        report = sys.stderr if as_json else None
        write_plot(phrases, vectors, title=str(run), png=png, projector=projector, report=report)
    space = Embeddings(phrases, vectors)
    for phrase in phrases:
        neighbours = space.neighbours(phrase, top, "manhattan" if manhattan else "cosine")
        print_nearest({"phrase": phrase}, phrase, neighbours, as_json)


def _distinct(texts: Iterable[str]) -> list[str]:
    """Returns the different phrases; reports blank ones, which are skipped.

    Raises:
        UserError: if there are fewer than two.
    """
    phrases = [text.strip() for text in texts]
    if blank := phrases.count(""):
        print_line(f"note: {blank:,} blank phrases were skipped", file=sys.stderr)
    distinct = list(dict.fromkeys(filter(None, phrases)))
    if len(distinct) < 2:
        raise UserError(f"at least two distinct phrases are needed, got {len(distinct)}: give more to compare")
    return distinct


def _check_words(translator: Translator, phrases: list[str]) -> None:
    """Reports the words of the phrases that are not in the vocabulary.

    Raises:
        UserError: for a phrase without tokens.
    """
    for phrase in phrases:
        words = translator.source.unit.split(phrase)
        if not words:
            raise UserError(f"{phrase!r} has no tokens: give phrases of at least one word")
        unknown = [word for word, index in zip(words, translator.source.vocab.encode(words), strict=True) if not index]
        if unknown:
            print_line(f"note: not in the vocabulary: {', '.join(unknown)} in {phrase!r}", file=sys.stderr)
