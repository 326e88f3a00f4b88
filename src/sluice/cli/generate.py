"""sluice generate, suggest and score: commands for language models."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from sluice.cli.lines import typed_lines
from sluice.errors import UserError, not_empty
from sluice.inference.language_model import LanguageModel, Sampling, Suggestion
from sluice.recipes.load import load_for
from sluice.terminal import escaped_line, print_line
from sluice.text.lines import read_lines
from sluice.text.tokenizers import END_OF_LINE

NO_TEXT = "there is no text to continue: give one in quotes, or lines on standard input"
MAX_NAMED = 20
"""Maximum number of unknown words named in a note."""


def generate_text(
    run: Path, sampling: Sampling, *, prompt: str, number: int, tokenized: bool | None, as_json: bool
) -> None:
    """Prints continuations of a prompt.

    Args:
        run: a run folder or a checkpoint.
        sampling: how tokens are chosen.
        prompt: the beginning of the text.
        number: the number of texts.
        tokenized: whether the prompt is already tokenised; None for a raw prompt.
        as_json: print one JSON object per text.

    Raises:
        UserError: if the checkpoint is not of a language model, or a value is out of range.
    """
    generator, tokenized = _load(run, as_json), bool(tokenized)
    if prompt:
        _note_tokenizer(generator, "the prompt", tokenized, as_json)
    _warn_of_unknown(generator, prompt, tokenized)
    try:
        texts = generator.generate(prompt, **vars(sampling), number=number, tokenized=tokenized)
    except ValueError as error:
        raise UserError(str(error)) from error
    for generated in texts:
        if as_json:
            print(json.dumps({"prompt": prompt, **generated._asdict()}, ensure_ascii=False))
            continue
        print_line(generated.text)
        if number > 1:
            print()


def suggest_words(run: Path, *, text: str | None, top: int, tokenized: bool | None, as_json: bool) -> None:
    """Prints the most probable next words; without a text, after every line of standard input.

    Args:
        run: a run folder or a checkpoint.
        text: the preceding text; None reads lines from standard input, each continuing the text of the lines before.
        top: the number of words.
        tokenized: whether the text is already tokenised; None for raw text.
        as_json: print one JSON object per text.

    Raises:
        UserError: if the checkpoint is not of a language model, or standard input is empty.
    """
    generator, tokenized = _load(run, as_json), bool(tokenized)
    _note_tokenizer(generator, "the text", tokenized, as_json)
    if text is not None:
        _suggest(generator, text, top, tokenized, as_json)
        return
    hint = "Type the beginning of a text and press Enter; further lines continue the text. Ctrl-D ends."
    typed = ""
    for line in typed_lines(hint) if sys.stdin.isatty() else not_empty(read_lines(None), NO_TEXT):
        typed = f"{typed} {line.strip()}".strip()
        _suggest(generator, typed, top, tokenized, as_json)


def score_file(run: Path, file: Path, *, show_tokens: bool, tokenized: bool | None, as_json: bool) -> None:
    """Prints the perplexity of a text and, on request, each token's log-probability.

    Args:
        run: a run folder or a checkpoint.
        file: a text file.
        show_tokens: also print a line per token: the token, a tab, the natural logarithm of its probability.
        tokenized: whether the text is already tokenised; None for text like the training text.
        as_json: print one JSON object.

    Raises:
        UserError: if the checkpoint is not of a language model, or the file is empty or isn't text.
    """
    generator = _load(run, as_json)
    tokenized = generator.text.trained_on_tokenized if tokenized is None else tokenized
    _note_tokenizer(generator, str(file), tokenized, as_json)
    scores = generator.score_file(file, tokenized=tokenized)
    tokens = list(zip(scores.tokens, scores.log_probabilities, strict=True))
    perplexity, count, unknown = scores.perplexity, len(tokens), scores.unknown
    if as_json:
        counts = {"file": str(file), "perplexity": perplexity, "tokens": count, "unknown": unknown}
        print(json.dumps({**counts, "tokenized": tokenized, **({"log_probabilities": tokens} if show_tokens else {})}))
        return
    if show_tokens:
        for token, log in tokens:
            print_line(f"{escaped_line(token)}\t{log:.4f}")
    stream = sys.stderr if show_tokens else sys.stdout
    print(f"perplexity {perplexity:,.2f} over {count:,} tokens, {unknown:,} of them unknown words", file=stream)


def _load(run: Path, as_json: bool) -> LanguageModel:
    model, generator = load_for(run, LanguageModel)
    if model.data_source == "sample" and not as_json:
        print("note: this model was trained on generated data", file=sys.stderr)
    return generator


def _note_tokenizer(generator: LanguageModel, what: str, tokenized: bool, as_json: bool) -> None:
    """Prints how a text is split into tokens."""
    generator.text.check(tokenized)
    if as_json or generator.text.char_level:
        return
    how = (
        "split at white space, as already tokenised (--raw tokenises it)"
        if tokenized
        else f"tokenised by {generator.text.raw_tokenizer!r} (--tokenized splits it at white space only)"
    )
    print_line(f"note: {what} is {how}", file=sys.stderr)


def _warn_of_unknown(generator: LanguageModel, prompt: str, tokenized: bool) -> None:
    unknown = generator.text.unknown(prompt, tokenized)
    if not unknown:
        return
    words = [token for token in generator.text.tokens(prompt, tokenized) if token != END_OF_LINE]
    what = "no word of the prompt is in the vocabulary" if len(unknown) == len(words) else "not in the vocabulary"
    named = [escaped_line(word) for word in dict.fromkeys(unknown)]
    more = f" and {len(named) - MAX_NAMED:,} more" if len(named) > MAX_NAMED else ""
    print_line(f"note: {what}: {', '.join(named[:MAX_NAMED])}{more}", file=sys.stderr)


def _suggest(generator: LanguageModel, text: str, top: int, tokenized: bool, as_json: bool) -> None:
    _warn_of_unknown(generator, text, tokenized)
    suggestions = generator.suggest(text, top, tokenized=tokenized)
    if as_json:
        print(json.dumps({"text": text, "next": suggestions}, ensure_ascii=False), flush=True)
        return
    for line in _table(suggestions):
        print_line(line)


def _table(suggestions: list[Suggestion]) -> Iterator[str]:
    named = [(escaped_line(word), probability) for word, probability in suggestions]
    width = max(len(word) for word, _ in named)
    for word, probability in named:
        yield f"  {word:<{width}}  {probability:6.1%}"
