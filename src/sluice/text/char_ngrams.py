"""A word as the letters it is made of, so that none is unknown."""

import zlib

BEGIN, END = "<", ">"


def character_ngrams(word: str, longest: int) -> list[str]:
    """The letters of a word, its pieces of 2 to `longest` letters and the whole of it, in lower case.

    Bojanowski et al. (2017), "Enriching word vectors with subword information", arXiv 1607.04606, section 3.2, with
    pieces from one letter on: a figure of a model number counts by itself. Begin and end of the word are marked.
    """
    marked = f"{BEGIN}{word.lower()}{END}"
    pieces = [
        marked[start : start + length] for length in range(2, longest + 1) for start in range(len(marked) - length + 1)
    ]
    whole = [marked] if len(marked) > longest else []
    return [*marked[1:-1], *pieces, *whole]


def hashed_ngrams(word: str, *, longest: int, buckets: int) -> list[int]:
    """The buckets of `character_ngrams`, the same on every machine; several may share one (the paper's section 3.2)."""
    pieces = character_ngrams(word, longest)
    return [zlib.crc32(piece.encode("utf-8", "surrogatepass")) % buckets for piece in pieces]
