"""From tokens back to a text as people write it."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

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
