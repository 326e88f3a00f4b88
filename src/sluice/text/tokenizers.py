"""From a text to its tokens, by name."""

import re
from collections.abc import Callable
from typing import TypeAlias

Tokenizer: TypeAlias = Callable[[str], list[str]]

TOKENIZERS = ("basic_english", "whitespace", "words", "chars")

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
