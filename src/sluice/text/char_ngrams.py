"""Character n-grams of words, so that no word is unknown."""

import zlib

BEGIN, END = "<", ">"


def character_ngrams(word: str, max_n: int) -> list[str]:
    """Returns the character n-grams of a lower-cased word for n = 1 to `max_n`, and the whole word.

    Bojanowski et al. (2017), "Enriching word vectors with subword information", arXiv 1607.04606, section 3.2, with
    n starting at 1, so that each digit of a model number counts. "<" and ">" mark the beginning and end of the word.

    Example:
        >>> character_ngrams("cat", max_n=2)
        ['c', 'a', 't', '<c', 'ca', 'at', 't>', '<cat>']
    """
    marked = f"{BEGIN}{word.lower()}{END}"
    ngrams = [marked[start : start + n] for n in range(2, max_n + 1) for start in range(len(marked) - n + 1)]
    whole = [marked] if len(marked) > max_n else []
    return [*marked[1:-1], *ngrams, *whole]


def hashed_ngrams(word: str, *, max_n: int, buckets: int) -> list[int]:
    """Returns the hash buckets of the `character_ngrams` of a word.

    Args:
        word: the word.
        max_n: maximum n-gram length.
        buckets: number of hash buckets.
    """
    ngrams = character_ngrams(word, max_n)
    return [zlib.crc32(ngram.encode("utf-8", "surrogatepass")) % buckets for ngram in ngrams]
