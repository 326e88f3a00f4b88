"""sluice embeddings phrases: what a translator's encoder makes of whole phrases."""

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from sluice.analysis.embedding_space import EmbeddingSpace
from sluice.cli.predict import lines_of
from sluice.cli.word_vectors import map_points, show_found
from sluice.errors import UserError
from sluice.inference.translator import Translator
from sluice.layers.pooling import step_mask
from sluice.recipes.load import load_for
from sluice.terminal import say
from sluice.text.vocab import PADDING_ID

BATCH = 64
"""Phrases that are read together."""


def show_phrases(
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
    phrases = list(dict.fromkeys(text.strip() for text in texts or lines_of(file)))
    if len(phrases) < 2:
        raise UserError(f"phrases are compared with each other: give at least two different ones, got {len(phrases)}")
    vectors = phrase_vectors(translator, phrases, mean=mean)
    if png is not None or projector is not None:
        map_points(phrases, vectors, title=str(run), png=png, projector=projector)
    space = EmbeddingSpace(phrases, vectors)
    for phrase in phrases:
        found = space.neighbours(phrase, top, "manhattan" if manhattan else "cosine")
        show_found({"phrase": phrase}, phrase, found, as_json)


@torch.no_grad()
def phrase_vectors(translator: Translator, phrases: list[str], *, mean: bool) -> NDArray[np.float32]:
    """(N, D) what the encoder makes of phrases.

    Its final state is that of the top layer, both directions side by side, each where it ends; the mean is that of its
    outputs at the words, without the mark of the end.

    Raises:
        UserError: for a phrase without a word; phrases of unknown words alone are told.
    """
    ids = [torch.tensor(translator.source.source_ids(phrase)) for phrase in phrases]
    for phrase, own in zip(phrases, ids, strict=True):
        if len(own) < 2:
            raise UserError(f"{phrase!r} is empty: there is no word in it to read")
        if not own[:-1].any():
            say(f"note: the model knows no word of {phrase!r}", file=sys.stderr)
    network, found = translator.network, []
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        lengths = torch.tensor([len(own) for own in some])
        outputs, state = network.read(pad_sequence(some, batch_first=True, padding_value=PADDING_ID), lengths)
        inside = step_mask(lengths - 1, outputs.shape[1], outputs.device).unsqueeze(-1)
        means = (outputs * inside).sum(1) / (lengths - 1).unsqueeze(1)
        last = torch.cat(state.hidden[-network.encoder.directions :].unbind(0), -1)
        found.append(means if mean else last)
    return torch.cat(found).numpy()
