"""From a text to its tokens, by name."""

from collections.abc import Callable
from typing import TypeAlias

Tokenizer: TypeAlias = Callable[[str], list[str]]

TOKENIZERS = ("basic_english", "whitespace")


def make_tokenizer(name: str) -> Tokenizer:
    """A tokenizer of torchtext's by name.

    "basic_english" lower-cases, drops HTML breaks and sets punctuation apart; "whitespace" only splits.

    Raises:
        ValueError: for a name that no tokenizer has.
    """
    if name not in TOKENIZERS:
        raise ValueError(f"there is no tokenizer {name!r}; there are {', '.join(TOKENIZERS)}")
    from torchtext.data.utils import get_tokenizer  # slow to import, and needed only where texts are read

    return get_tokenizer(None if name == "whitespace" else name)
