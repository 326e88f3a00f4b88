"""Tokenisation and detokenisation."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby
from typing import Any, TypeAlias

from sluice.errors import UserError
from sluice.options import WORD_TOKENIZERS
from sluice.text.spacing import base_language, join_tokens

END_OF_LINE = "<eos>"

_SPLIT_MARK = re.compile(r" @([^\w\s])@ ")
"""WikiText's separator within words and numbers: "1 @,@ 000"."""
_SPLIT_NOT = re.compile(r" (?=n't(?: |$))", re.IGNORECASE)
"""The Penn Treebank tokenises "isn't" as "is n't", which Moses's rules do not join."""


def detokenize(tokens: Sequence[str], language: str = "en") -> str:
    """Joins words and punctuation to a text by the rules of a language (Moses's rules for English, by sacremoses).

    Args:
        tokens: tokens; `END_OF_LINE` becomes a line break.
        language: language code, such as "fr" or "fr-CA".

    Example:
        >>> detokenize(["It", "is", "n't", "3", "@.@", "5", ",", "he", "said", "."])
        "It isn't 3.5, he said."
        >>> detokenize(["Où", "est", "l'", "oncle", "?"], "fr")
        "Où est l'oncle ?"
    """
    lines: list[list[str]] = [[]]
    for token in tokens:
        if token == END_OF_LINE:
            lines.append([])
        else:
            lines[-1].append(token)
    return "\n".join(_join(line, base_language(language)) for line in lines)


def _join(words: list[str], language: str) -> str:
    if not words:
        return ""
    text = _SPLIT_MARK.sub(r"\1", " ".join(words))
    if language != "en":
        return join_tokens(text.split(), language)
    return str(_moses().detokenize(_SPLIT_NOT.sub("", text).split(" "), unescape=False))


@cache
def _moses() -> Any:
    from sacremoses import MosesDetokenizer  # slow to import

    return MosesDetokenizer(lang="en")


Tokenizer: TypeAlias = Callable[[str], list[str]]

TOKENIZERS = (*WORD_TOKENIZERS, "chars")

_SEPARATED, _BLANK = re.compile(r"([.,()!?'])"), re.compile(r"<br />|[;:]")
"""What "basic_english" separates, and what it replaces by a blank."""
MARKS_VERSION = 2
"""Version of the tokenizers "words" and "moses", part of the key of cached data; the first split words at marks."""
_ASCII_WORD = re.compile(r"\w+(?:['.,\-]\w+)*|\.{2,}|-{2,}|[^\w\s]")
_JOINERS, _LAST_MARK = "\u200c\u200d", 0x1F000


def is_attached(character: str) -> bool:
    """Returns whether a character is a part of the one before it: a combining mark or a joiner."""
    return character in _JOINERS or unicodedata.category(character).startswith("M")


@cache
def word_pattern() -> re.Pattern[str]:
    """Returns the pattern of a token of "words".

    Combining marks, such as the vowel signs of Hindi and Thai, belong to the word or symbol before them, and so do the
    joiners of Persian words and of emojis.
    """
    codes = (code for code in range(0x300, _LAST_MARK) if is_attached(chr(code)))
    ranges = groupby(enumerate(codes), key=lambda pair: pair[1] - pair[0])
    spans = [[code for _, code in group] for _, group in ranges]
    attached = "".join(f"{chr(span[0])}-{chr(span[-1])}" for span in spans)
    word, symbol = rf"\w+(?:[{attached}]+\w*)*", rf"[^\w\s][{attached}]*"
    return re.compile(rf"{word}(?:['’.,\-]{word})*|\.{{2,}}|-{{2,}}|{symbol}(?:(?<=\u200d){symbol})*")


def make_tokenizer(name: str) -> Tokenizer:
    """Returns a tokenizer by name.

    "basic_english" (as in torchtext) lower-cases, drops HTML line breaks and separates punctuation; "whitespace" splits
    at whitespace; "words" keeps the case and separates punctuation, except within words and numbers ("don't", "3.5");
    combining marks belong to the character before them;
    "chars" returns all characters, including whitespace.

    Raises:
        ValueError: for an unknown tokenizer.

    Example:
        >>> make_tokenizer("words")("Don't pay 3.5!")
        ["Don't", 'pay', '3.5', '!']
    """
    if name not in TOKENIZERS:
        raise ValueError(f"unknown tokenizer {name!r}: expected one of {', '.join(TOKENIZERS)}")
    if name == "whitespace":
        return str.split
    if name == "words":
        return _words
    if name == "chars":
        return list
    return _basic_english


def _words(text: str) -> list[str]:
    return (_ASCII_WORD if text.isascii() else word_pattern()).findall(text)


def _basic_english(text: str) -> list[str]:
    """The tokenizer of this name in torchtext, which is slow to import."""
    return _SEPARATED.sub(r" \1 ", _BLANK.sub(" ", text.lower().replace('"', ""))).split()


def given_tokenizer(unit: str, tokenizer: str, tokenized: bool | None) -> str:
    """Returns the tokenizer of the texts given to a trained model.

    Args:
        unit: unit of its tokens.
        tokenizer: tokenizer of its training texts.
        tokenized: True for texts that are already tokenised, which are split at white space; False for raw texts, which
            are tokenised as in training, or by "words" if the training texts were split at white space; None for texts
            like those of training.

    Raises:
        UserError: for tokenised texts and a model of characters or subwords.
    """
    if tokenized and unit != "words":
        raise UserError(f"a model of {unit} reads text as it is: leave out --tokenized")
    if tokenized is None or unit != "words":
        return tokenizer
    if tokenized:
        return "whitespace"
    return "words" if tokenizer == "whitespace" else tokenizer
