"""Checking and batching the inputs of trained models."""

from collections.abc import Iterable, Iterator, Sequence

MAX_SHOWN = 40


def list_of_texts(texts: Iterable[str], what: str = "texts") -> list[str]:
    """Returns texts as a list.

    Args:
        texts: an iterable of strings.
        what: what they are, for messages.

    Raises:
        TypeError: for a single string, or an item that is not a string.

    Example:
        >>> list_of_texts(text.upper() for text in ("good", "bad"))
        ['GOOD', 'BAD']
        >>> list_of_texts("good")
        Traceback (most recent call last):
        TypeError: expected a list of texts, got a single string: put it in a list, as in ['good']
    """
    if isinstance(texts, str | bytes):
        raise TypeError(
            f"expected a list of {what}, got a single string: put it in a list, as in [{texts[:MAX_SHOWN]!r}]"
        )
    found = list(texts)
    wrong = next((text for text in found if not isinstance(text, str)), None)
    if wrong is not None or None in found:
        raise TypeError(f"expected strings as {what}, got {type(wrong).__name__}: convert them first")
    return found


def batches_by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Yields the indices of inputs in batches of similar length, the longest inputs first.

    Args:
        lengths: length of each input.
        batch_size: maximum number of inputs per batch.

    Raises:
        ValueError: if `batch_size` is below 1.

    Example:
        >>> list(batches_by_length([2, 9, 4], batch_size=2))
        [[1, 2], [0]]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
