"""Unknown words, replaced by what the model looked at when it wrote them."""

from collections.abc import Sequence

from torch import Tensor


def replace_unknowns(
    words: Sequence[str], weights: Tensor | None, source_words: Sequence[str], unknown: str
) -> list[str]:
    """Puts the source word looked at most in the place of every unknown one (Jean et al. 2015, arXiv 1412.2007, 4.3).

    Args:
        words: of a translation.
        weights: (at least len(words), at least len(source_words)), where the model looked for each word; columns
            beyond the source's words (its end, padding) are left out. None leaves unknown words as they are.
        source_words: as they stand in the source.
        unknown: how an unknown word is written.

    Returns:
        As many words.
    """
    if weights is None or not source_words:
        return list(words)
    looked = weights[: len(words), : len(source_words)]
    return [
        source_words[int(row.argmax())] if word == unknown else word for word, row in zip(words, looked, strict=True)
    ]
