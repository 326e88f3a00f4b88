"""Replacement of unknown words in translations, using attention weights."""

from collections.abc import Sequence

from torch import Tensor


def replace_unknowns(
    words: Sequence[str], weights: Tensor | None, source_words: Sequence[str], unk_token: str
) -> list[str]:
    """Replaces each unknown word by the most-attended source word (Jean et al. 2015, arXiv 1412.2007, 4.3).

    Args:
        words: words of the translation.
        weights: (at least len(words), at least len(source_words)), attention weights of each word; columns beyond the
            source words (end of sentence, padding) are ignored. None replaces nothing.
        source_words: words of the source.
        unk_token: the unknown token.

    Returns:
        The words with replacements.
    """
    if weights is None or not source_words:
        return list(words)
    attention = weights[: len(words), : len(source_words)]
    return [
        source_words[int(row.argmax())] if word == unk_token else word
        for word, row in zip(words, attention, strict=True)
    ]
