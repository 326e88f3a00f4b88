"""sluice predict with a model of pairs: the class of two texts, and the words that decided."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sluice.data.text_pair_batches import TextPairBatchMaker
from sluice.data.text_pairs import TextPair, encode_text_pairs, letters_of, new_table
from sluice.errors import UserError
from sluice.models.pair_classifier import Paired
from sluice.recipes.load import SavedModel
from sluice.recipes.pairs import letter_settings
from sluice.terminal import PlainConsole
from sluice.text.tokenizers import make_tokenizer
from sluice.text.truncation import kept_places

WORDS_SHOWN = 4

Pair = tuple[str, str]


def given_pairs(texts: list[str] | None, file: Path | None, lines: Iterable[str]) -> Iterator[Pair]:
    """The two texts of the command line, or those of each line, set apart by a tab.

    Args:
        texts: those of the command line; None takes the lines.
        file: where the lines come from, for the error; None for standard input.
        lines: a pair each.

    Raises:
        UserError: for any other number of texts.
    """
    if texts:
        if len(texts) != 2:
            raise UserError(f"{_counted(len(texts))} given, and this model wants two to compare: give two in quotes")
        yield texts[0], texts[1]
        return
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t")
        if len(fields) != 2:
            raise UserError(
                f"{file or 'standard input'}, line {number}: {_counted(len(fields))}, and this model wants two to "
                "compare: set two texts apart by one tab"
            )
        yield fields[0], fields[1]


def predict_pairs(model: SavedModel, pairs: list[Pair], first: int = 1) -> list[dict[str, Any]]:
    """For every pair: both texts, label, probability, probabilities of all classes, and words.

    A word comes with its text (1 or 2), how far its comparison moved the predicted class's logit against the mean of
    the others (see Paired.moved), and the word of the other text that its attention weighed most; most moving first.

    Args:
        model: the trained model.
        pairs: the texts.
        first: number of the first pair, for the error.

    Raises:
        UserError: for a text without a word.
    """
    task = model.config.task
    tokenize = make_tokenizer(task.text.tokenizer)
    for number, pair in enumerate(pairs, start=first):
        for place, text in enumerate(pair, start=1):
            if not tokenize(text):
                raise UserError(f"text {place} of pair {number} is empty: there is no word in it to compare")
    table = new_table()
    split = encode_text_pairs((TextPair(*pair, label=0) for pair in pairs), task.text.tokenizer, table)
    letters = letters_of(list(table), letter_settings(model.config))
    make = TextPairBatchMaker(split, letters, max_length=task.data.max_length, truncation=task.data.truncation)
    batch = make(range(len(pairs)))
    with torch.inference_mode():
        paired: Paired = model.network(batch.ngrams, batch.offsets, batch.places, batch.lengths)
    places, kept = kept_places(split.texts.lengths, task.data.max_length, task.data.truncation)
    tokens = [tokenize(text) for side in zip(*pairs, strict=True) for text in side]
    words = [[own[place] for place in row[:length]] for own, row, length in zip(tokens, places, kept, strict=True)]
    moved = torch.cat(paired.moved().chunk(2, 1))
    return [
        {
            "first": pair[0],
            "second": pair[1],
            "label": model.labels[int(row.argmax())],
            "probability": float(row.max()),
            "probabilities": dict(zip(model.labels, row.tolist(), strict=True)),
            "words": _ranked(words, moved, paired.weights, number, number + len(pairs)),
        }
        for number, (pair, row) in enumerate(zip(pairs, paired.logits.softmax(-1), strict=True))
    ]


def show_pair(console: PlainConsole, prediction: dict[str, Any]) -> None:
    """Prints a pair's class and the words that decided."""
    texts = " | ".join(" ".join(prediction[name].split()) for name in ("first", "second"))
    shown = texts if len(texts) <= 100 else texts[:99] + "…"
    console.print(f"{prediction['label']}  {prediction['probability']:.3f}  {shown}")
    decided = ", ".join(
        f"{word['word']} {word['moved']:+.2f} (text {word['text']}, beside {word['beside']})"
        for word in prediction["words"][:WORDS_SHOWN]
        if word["moved"] > 0
    )
    if decided:
        console.print(f"    decided: {decided}")


def _ranked(words: list[list[str]], moved: Tensor, weights: Tensor, first: int, second: int) -> list[dict[str, Any]]:
    """The words of both texts of a pair, whose rows are given, from the one that moved the logit most."""
    found = [
        {
            "text": text,
            "word": word,
            "moved": float(moved[own, place]),
            "beside": words[other][int(weights[own, place].argmax())],
        }
        for text, own, other in ((1, first, second), (2, second, first))
        for place, word in enumerate(words[own])
    ]
    return sorted(found, key=lambda word: -float(str(word["moved"])))


def _counted(texts: int) -> str:
    return f"{texts} {'text' if texts == 1 else 'texts'}"
