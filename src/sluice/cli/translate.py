"""sluice translate: sentences in another language, and where the model looked."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from sluice.cli.predict import batched, read_lines
from sluice.decoding.search import DecodingSettings
from sluice.errors import UserError
from sluice.inference.translator import Translation, Translator, attention_map, axes_of
from sluice.plain import Plain
from sluice.recipes.load import load_for
from sluice.terminal import print_line

BEAM = 5
BATCH = 64
"""Sentences that are searched for together."""


def translate_texts(
    run: Path,
    *,
    texts: list[str] | None,
    file: Path | None,
    beam: int | None,
    seed: int | None,
    n_best: int,
    attention: Path | None,
    as_json: bool,
) -> None:
    """Prints the best translations of every sentence.

    Args:
        run: a run's folder or a checkpoint.
        texts: sentences; None takes the lines of `file`, or of standard input where that is None too.
        file: a sentence a line.
        beam: hypotheses a sentence; None for 5, and for 1 where words are drawn.
        seed: draws every word by its probability, the same ones each time; None searches.
        n_best: translations shown of each.
        attention: PNG for the map of where the model looked, of the first sentence; None for none.
        as_json: one JSON object a sentence.

    Raises:
        UserError: for a checkpoint that isn't one of a translator's, a file that can't be read, an empty sentence, or
            more translations than the beam holds.
    """
    if texts and file:
        raise UserError("give sentences or --file, not both")
    model, translator = load_for(run, Translator)
    settings = _decoding(translator, beam, n_best, seed)
    if model.data_source == "sample" and not as_json:
        print("note: this model was trained on the generated sample, not on a real language", file=sys.stderr)
    number, as_typed = 0, not texts and file is None and sys.stdin.isatty()
    for some in batched(texts or read_lines(file), 1 if as_typed else BATCH):
        found = _translated(translator, settings, some, first=number + 1)
        if attention is not None and not number:
            _draw(found[0][0], attention)
        for text, translations in zip(some, found, strict=True):
            _show(text, translations, as_json)
        number += len(some)
    if not number:
        raise UserError("there is nothing to translate: give a sentence in quotes, --file, or lines on standard input")


def _decoding(translator: Translator, beam: int | None, n_best: int, seed: int | None) -> DecodingSettings:
    if beam is None:
        beam = BEAM if seed is None else 1
    wide = max(beam, n_best) if beam > 0 else beam
    settings = replace(translator.decoding, beam=wide, n_best=n_best, seed=seed)
    try:
        settings.check()
    except ValueError as error:
        raise UserError(str(error)) from error
    return settings


def _translated(
    translator: Translator, settings: DecodingSettings, texts: list[str], first: int
) -> list[list[Translation]]:
    longest = translator.max_length
    texts = [translator.source_of(text) for text in texts]
    for number, text in enumerate(texts, start=first):
        length = len(translator.source.encode(text))
        if not length:
            raise UserError(f"sentence {number} is empty: there is no word in it to translate")
        if longest is not None and length > longest:
            print(f"note: sentence {number} has {length} tokens and was cut after {longest}", file=sys.stderr)
    return translator.translate(texts, settings, max_length=longest)


def _draw(translation: Translation, path: Path) -> None:
    if translation.weights is None:
        raise UserError("the model was trained with task.attention=none: there is nothing to draw")
    try:
        attention_map(translation).savefig(path, dpi=150, bbox_inches="tight")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be written: {str(error).splitlines()[0]}") from error


def _show(text: str, translations: list[Translation], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"source": text, "translations": [_plain(own) for own in translations]}, ensure_ascii=False))
        return
    for translation in translations:
        score = f"{translation.score:8.3f}  " if len(translations) > 1 else ""
        print_line(f"{score}{translation.text}")


def _plain(translation: Translation) -> Plain:
    plain: Plain = {"text": translation.text, "score": translation.score}
    if translation.weights is not None:
        columns, rows = axes_of(translation)
        plain["attention"] = {"source": columns, "words": rows, "weights": translation.weights.tolist()}
    return plain
