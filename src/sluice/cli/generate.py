"""sluice generate, suggest and score: a trained language model at work."""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from sluice.data.running_text import file_lines
from sluice.data.streams import encode_lines
from sluice.decoding.sampling import beam, sample
from sluice.errors import UserError
from sluice.inference.lm_evaluation import Reader
from sluice.recipes.language import stream_settings
from sluice.recipes.load import SavedModel, load_model
from sluice.recipes.registry import LANGUAGE
from sluice.terminal import say
from sluice.text.language_text import LanguageText
from sluice.text.vocab import UNKNOWN_ID

LINES_KEPT = 400
"""Tokens of what was typed that suggestions go on from."""


def generate_text(
    run: Path,
    *,
    prompt: str,
    tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    width: int | None,
    number: int,
    seed: int | None,
    no_unknown: bool,
    as_json: bool,
) -> None:
    """Prints continuations of a prompt.

    Args:
        run: a run's folder or a checkpoint.
        prompt: how the text begins.
        tokens: written after it.
        temperature: of sampling.
        top_k: sampling's cut by rank; None for none.
        top_p: sampling's cut by probability; None for none.
        width: of the beam; None samples.
        number: texts.
        seed: of sampling; None for another text every time.
        no_unknown: never write the unknown word.
        as_json: one JSON object a text.

    Raises:
        UserError: for a checkpoint that isn't one of a language model's, or a value out of range.
    """
    model, text = _loaded(run, as_json)
    ids = text.prompt_ids(prompt)
    _warn_of_unknown(text, prompt)
    last, state = model.network.warmed(torch.tensor([ids]))
    banned = (*text.never_written, UNKNOWN_ID) if no_unknown else text.never_written
    try:
        if width is not None:
            found = beam(model.network.step, last, state, tokens=tokens, width=max(width, number), banned=banned)
        else:
            found = sample(
                model.network.step,
                last.expand(number),
                _repeated(state, number),
                tokens=tokens,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                banned=banned,
                generator=None if seed is None else torch.Generator().manual_seed(seed),
            )
    except ValueError as error:
        raise UserError(str(error)) from error
    written = found.ids[:number].tolist()
    for own, score in zip(written, found.log_probabilities.tolist(), strict=False):
        whole = text.join([*ids[1:], *own])
        perplexity = math.exp(-score / tokens)
        if as_json:
            print(json.dumps({"text": whole, "perplexity": perplexity}, ensure_ascii=False))
        else:
            say(whole)
        if not as_json and number > 1:
            print()


def suggest_words(run: Path, *, text: str | None, top: int, as_json: bool) -> None:
    """Prints the likeliest next words with their probabilities; without a text, after every line that is typed.

    Args:
        run: a run's folder or a checkpoint.
        text: what goes before; None reads lines, each going on where the one before ended.
        top: words shown.
        as_json: one JSON object a text.

    Raises:
        UserError: for a checkpoint that isn't one of a language model's.
    """
    model, words = _loaded(run, as_json)
    if text is not None:
        _suggest(model, words, text, top, as_json)
        return
    if sys.stdin.isatty():
        print("Type the beginning of a text and press Enter; what you type next goes on from it. Ctrl-D ends.")
    typed = ""
    for line in sys.stdin:
        typed = f"{typed} {line.strip()}".strip()
        _suggest(model, words, typed, top, as_json)


def score_file(run: Path, file: Path, *, show_tokens: bool, as_json: bool) -> None:
    """Prints the perplexity of a text and, if asked for, each token's log-probability.

    Args:
        run: a run's folder or a checkpoint.
        file: a text file.
        show_tokens: a line a token: the token, a tab, the natural logarithm of its probability.
        as_json: one JSON object.

    Raises:
        UserError: for a checkpoint that isn't one of a language model's, or a file that is empty or isn't text.
    """
    model, words = _loaded(run, as_json)
    ids = encode_lines(file_lines(file), _tokenizer_for(file, model), model.vocab)
    if not len(ids):
        raise UserError(f"{file} is empty: there is no word in it to score")
    reader = Reader(model.network, end_id=words.end_id, chunk_length=model.config.task.data.chunk_length)
    logs = [-loss for chunk in reader.losses(ids) for loss in chunk.flatten().tolist()][: len(ids)]
    perplexity, unknown = math.exp(-math.fsum(logs) / len(ids)), int((ids == UNKNOWN_ID).sum())
    if as_json:
        tokens = [[token, log] for token, log in zip(model.vocab.decode(ids), logs, strict=True)]
        counts = {"perplexity": perplexity, "tokens": len(ids), "unknown": unknown}
        print(json.dumps({"file": str(file), **counts, **({"log_probabilities": tokens} if show_tokens else {})}))
        return
    if show_tokens:
        for token, log in zip(model.vocab.decode(ids), logs, strict=True):
            say(f"{token}\t{log:.4f}")
    told = sys.stderr if show_tokens else sys.stdout
    print(f"perplexity {perplexity:,.2f} over {len(ids):,} tokens, {unknown:,} of them unknown words", file=told)


def _loaded(run: Path, as_json: bool) -> tuple[SavedModel, LanguageText]:
    model = load_model(run, LANGUAGE)
    if model.data_source == "sample" and not as_json:
        print("note: this model was trained on the generated sample, not on a real text", file=sys.stderr)
    return model, LanguageText(model.vocab, stream_settings(model.config).tokenizer)


def _tokenizer_for(file: Path, model: SavedModel) -> str:
    """The run's own; for words set apart by blanks, new text is cut unless it is set apart already."""
    tokenizer = stream_settings(model.config).tokenizer
    if tokenizer != "whitespace":
        return tokenizer
    for line in file_lines(file):
        if any(word[-1:] in ".,;" and len(word) > 1 for word in line.split()):
            return "words"
    return tokenizer


def _warn_of_unknown(text: LanguageText, prompt: str) -> None:
    unknown = text.unknown(prompt)
    if not unknown:
        return
    what = "no word of the prompt" if len(unknown) == len(text.tokens(prompt)) else "not all of the prompt"
    say(f"note: the model knows {what}; unknown to it: {', '.join(unknown)}", file=sys.stderr)


def _repeated(state: Any, number: int) -> Any:
    """The state of one text as that of a number of texts."""
    return None if state is None else type(state)(*(part.expand(-1, number, -1) for part in state))


def _suggest(model: SavedModel, words: LanguageText, text: str, top: int, as_json: bool) -> None:
    _warn_of_unknown(words, text)
    ids = words.prompt_ids(text)
    last, state = model.network.warmed(torch.tensor([[ids[0], *ids[1:][-LINES_KEPT:]]]))
    with torch.no_grad():
        scores, _ = model.network.step(last, state)
    scores[:, list(words.never_written)] = -torch.inf
    likeliest = scores[0].topk(min(top, scores.shape[1]))
    found = list(zip(model.vocab.decode(likeliest.indices.tolist()), likeliest.values.exp().tolist(), strict=True))
    if as_json:
        print(json.dumps({"text": text, "next": found}, ensure_ascii=False), flush=True)
        return
    for line in _table(found):
        say(line)


def _table(found: list[tuple[str, float]]) -> Iterator[str]:
    width = max(len(word) for word, _ in found)
    for word, probability in found:
        yield f"  {word:<{width}}  {probability:6.1%}"
