"""From a text to its tokens, and from tokens back to a text."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

from sluice.options import WORD_TOKENIZERS

END_OF_LINE = "<eos>"

_SPLIT_MARK = re.compile(r" @(\S)@ ")
"""WikiText's mark around what stood inside a word or a number: "1 @,@ 000"."""
_SPLIT_NOT = re.compile(r" (?=n't(?: |$))", re.IGNORECASE)
"""The Penn Treebank sets it apart: "is n't"; Moses's rules don't know of it."""


def detokenize(tokens: Sequence[str]) -> str:
    """Joins words and punctuation as people write them (Moses's rules for English, by sacremoses).

    Args:
        tokens: words; `END_OF_LINE` becomes a line break.

    Returns:
        The text; empty for no tokens.
    """
    lines: list[list[str]] = [[]]
    for token in tokens:
        if token == END_OF_LINE:
            lines.append([])
        else:
            lines[-1].append(token)
    return "\n".join(_join(line) for line in lines)


def _join(words: list[str]) -> str:
    if not words:
        return ""
    text = _SPLIT_NOT.sub("", _SPLIT_MARK.sub(r"\1", " ".join(words)))
    return str(_moses().detokenize(text.split(" "), unescape=False))


@cache
def _moses() -> Any:
    from sacremoses import MosesDetokenizer  # slow to import, and needed only where texts are written

    return MosesDetokenizer(lang="en")


Tokenizer: TypeAlias = Callable[[str], list[str]]

TOKENIZERS = (*WORD_TOKENIZERS, "chars")

_WORD = re.compile(r"\w+(?:['’.,\-]\w+)*|\.{2,}|-{2,}|[^\w\s]")


def make_tokenizer(name: str) -> Tokenizer:
    """A tokenizer by name.

    "basic_english" (torchtext's) lower-cases, drops HTML breaks and sets punctuation apart; "whitespace" only splits;
    "words" keeps the case, sets punctuation apart and leaves it inside words and numbers ("don't", "3.5");
    "chars" gives every letter, blanks included.

    Raises:
        ValueError: for a name that no tokenizer has.
    """
    if name not in TOKENIZERS:
        raise ValueError(f"there is no tokenizer {name!r}; there are {', '.join(TOKENIZERS)}")
    if name == "whitespace":
        return str.split
    if name == "words":
        return _WORD.findall
    if name == "chars":
        return list
    from torchtext.data.utils import get_tokenizer  # slow to import, and needed only where texts are read

    return get_tokenizer(name)
