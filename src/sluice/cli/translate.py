"""sluice translate: translates sentences and plots attention weights."""

import json
import sys
from pathlib import Path

from sluice.cli.lines import batched, input_lines, print_notes
from sluice.decoding.search import generator_of
from sluice.errors import UserError
from sluice.inference.translator import MAX_SEED, Translation, Translator, attention_labels, attention_map
from sluice.plain import Plain
from sluice.plots.save import check_figure, save_figure
from sluice.recipes.load import load_for
from sluice.terminal import print_line
from sluice.text.lines import one_line

BATCH = 64
"""Sentences per batch."""


def translate_texts(
    run: Path,
    *,
    texts: list[str] | None,
    file: Path | None,
    beam: int | None,
    seed: int | None,
    n_best: int,
    attention: Path | None,
    tokenized: bool | None,
    as_json: bool,
) -> None:
    """Prints the best translations of each sentence, in order; those of a blank sentence are empty.

    Args:
        run: a run folder or a checkpoint.
        texts: the sentences; None reads the lines of `file`, or of standard input if that is None too.
        file: a file with one sentence per line.
        beam: the beam size; None for 5, or for 1 when sampling.
        seed: samples words with this random seed; None searches.
        n_best: the number of translations of each sentence.
        attention: PNG file for the attention weights of the first sentence that is not blank; None for none.
        tokenized: whether the sentences are tokenised already; None for sentences like those of training.
        as_json: print one JSON object per sentence.

    Raises:
        UserError: if the checkpoint is not of a translation model, the file is unreadable, there is no sentence (to
            draw, with `attention`), or `n_best` exceeds the beam size.
    """
    if texts and file:
        raise UserError("give sentences or --file, not both")
    check_figure("--attention", attention)
    model, translator = load_for(run, Translator, tokenized=tokenized)
    _check_search(translator, beam, n_best, seed)
    print_notes(model, as_json)
    sampling = generator_of(seed)  # for all batches
    number, drawn, interactive = 0, False, not texts and file is None and sys.stdin.isatty()
    for batch in batched(texts or input_lines(file), 1 if interactive else BATCH):
        _note_truncation(translator, batch, first=number + 1)
        translated = translator.translate(batch, beam=beam, n_best=n_best, seed=sampling)
        drawn = drawn or attention is None or _draw_first(translated, attention)
        for text, best in zip(batch, translated, strict=True):
            _print_translations(text, [best, *best.alternatives], as_json)
        number += len(batch)
    _check_translated(number, drawn)


def _check_translated(number: int, drawn: bool) -> None:
    if not number:
        raise UserError("there is nothing to translate: give a sentence in quotes, --file, or lines on standard input")
    if not drawn:
        raise UserError("--attention cannot be used: all sentences are blank")


def _check_search(translator: Translator, beam: int | None, n_best: int, seed: int | None) -> None:
    """Checks the settings of the search before input is read."""
    if seed is not None:
        _check_seed(beam, n_best, seed)
    if beam is not None and 0 < beam < n_best:
        raise UserError(f"--n-best {n_best} cannot be combined with --beam {beam}: it must be at most the beam size")
    vocab_size = len(translator.target.vocab)
    for option, value in (("--n-best", n_best), ("--beam", beam)):
        if value is not None and value > vocab_size:
            raise UserError(
                f"{option} {value} cannot be used: it must be at most {vocab_size}, the size of the vocabulary"
            )
    if n_best < 1:
        raise UserError(f"--n-best {n_best} cannot be used: it must be at least 1")
    try:
        translator.translate([], beam=beam, n_best=n_best, seed=seed)
    except ValueError as error:
        raise UserError(str(error)) from error


def _check_seed(beam: int | None, n_best: int, seed: int) -> None:
    if (beam or 1) > 1:
        raise UserError(f"--seed {seed} cannot be combined with --beam {beam}: sampling needs --beam 1, leave one out")
    if n_best > 1:
        raise UserError(f"--seed {seed} cannot be combined with --n-best {n_best}: sampling gives one translation")
    if not 0 <= seed < MAX_SEED:
        raise UserError(f"--seed {seed} cannot be used: it must be at least 0 and below 2^63")


def _note_truncation(translator: Translator, texts: list[str], first: int) -> None:
    for number, text in enumerate(texts, start=first):
        length = len(translator.source.encode(translator.preprocess(text))) if text.strip() else 0
        if translator.max_length is not None and length > translator.max_length:
            kept = translator.max_length
            print(f"note: sentence {number} has {length} tokens and was truncated to {kept}", file=sys.stderr)


def _draw_first(translated: list[Translation], path: Path) -> bool:
    """Draws the attention weights of the first sentence that is not blank; returns whether there is one."""
    best = next((first for first in translated if first.source_words), None)
    if best is None:
        return False
    if best.attention is None:
        raise UserError("--attention cannot be used: the model was trained with task.attention=none")
    save_figure(attention_map(best), path)
    print_line(f"Wrote {path}", file=sys.stderr)
    return True


def _print_translations(text: str, translations: list[Translation], as_json: bool) -> None:
    if as_json:
        found = [_as_json(each) for each in translations if each.source_words]
        print(json.dumps({"source": text, "translations": found}, ensure_ascii=False))
        return
    for translation in translations:
        score = f"{translation.score:8.3f}  " if len(translations) > 1 and translation.source_words else ""
        print_line(f"{score}{one_line(translation.text)}")


def _as_json(translation: Translation) -> Plain:
    plain: Plain = {"text": translation.text, "score": translation.score}
    if translation.attention is not None:
        columns, rows = attention_labels(translation)
        plain["attention"] = {"source": columns, "words": rows, "weights": translation.attention.tolist()}
    return plain
