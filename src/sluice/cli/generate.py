"""sluice generate, suggest and score: a trained language model at work."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from sluice.errors import UserError
from sluice.inference.language_model import Sampling, TextGenerator
from sluice.recipes.load import load_for
from sluice.terminal import print_line


def generate_text(run: Path, sampling: Sampling, *, prompt: str, number: int, as_json: bool) -> None:
    """Prints continuations of a prompt.

    Args:
        run: a run's folder or a checkpoint.
        sampling: how tokens are chosen.
        prompt: how the text begins.
        number: texts.
        as_json: one JSON object a text.

    Raises:
        UserError: for a checkpoint that isn't one of a language model's, or a value out of range.
    """
    generator = _loaded(run, as_json)
    _warn_of_unknown(generator, prompt)
    try:
        found = generator.generate(prompt, sampling, number)
    except ValueError as error:
        raise UserError(str(error)) from error
    for own in found:
        if as_json:
            print(json.dumps(own._asdict(), ensure_ascii=False))
            continue
        print_line(own.text)
        if number > 1:
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
    generator = _loaded(run, as_json)
    if text is not None:
        _suggest(generator, text, top, as_json)
        return
    if sys.stdin.isatty():
        print("Type the beginning of a text and press Enter; what you type next goes on from it. Ctrl-D ends.")
    typed = ""
    for line in sys.stdin:
        typed = f"{typed} {line.strip()}".strip()
        _suggest(generator, typed, top, as_json)


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
    generator = _loaded(run, as_json)
    scores = generator.score_file(file)
    tokens = list(zip(generator.vocab.decode(scores.ids), scores.log_probabilities, strict=True))
    perplexity, count, unknown = scores.perplexity, len(scores.ids), scores.unknown
    if as_json:
        counts = {"file": str(file), "perplexity": perplexity, "tokens": count, "unknown": unknown}
        print(json.dumps({**counts, **({"log_probabilities": tokens} if show_tokens else {})}))
        return
    if show_tokens:
        for token, log in tokens:
            print_line(f"{token}\t{log:.4f}")
    stream = sys.stderr if show_tokens else sys.stdout
    print(f"perplexity {perplexity:,.2f} over {count:,} tokens, {unknown:,} of them unknown words", file=stream)


def _loaded(run: Path, as_json: bool) -> TextGenerator:
    model, generator = load_for(run, TextGenerator)
    if model.data_source == "sample" and not as_json:
        print("note: this model was trained on the generated sample, not on a real text", file=sys.stderr)
    return generator


def _warn_of_unknown(generator: TextGenerator, prompt: str) -> None:
    unknown = generator.text.unknown(prompt)
    if not unknown:
        return
    what = "no word of the prompt" if len(unknown) == len(generator.text.tokens(prompt)) else "not all of the prompt"
    print_line(f"note: the model knows {what}; unknown to it: {', '.join(unknown)}", file=sys.stderr)


def _suggest(generator: TextGenerator, text: str, top: int, as_json: bool) -> None:
    _warn_of_unknown(generator, text)
    found = generator.suggest(text, top)
    if as_json:
        print(json.dumps({"text": text, "next": found}, ensure_ascii=False), flush=True)
        return
    for line in _table(found):
        print_line(line)


def _table(found: list[tuple[str, float]]) -> Iterator[str]:
    width = max(len(word) for word, _ in found)
    for word, probability in found:
        yield f"  {word:<{width}}  {probability:6.1%}"
