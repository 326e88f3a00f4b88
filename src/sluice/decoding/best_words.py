"""The most probable next words: by a C kernel on CPUs with a compiler, otherwise by torch."""

import ctypes

import torch
from torch import Tensor

from sluice.recurrent.fused.native import Library, address, counts, kernels, pointers


class TopWordsFields(ctypes.Structure):
    """Struct TopWords of top_words.h."""

    _fields_ = counts("rows", "words", "count") + pointers("logits", "log_probabilities", "ids", "normalisers")


def best_words(logits: Tensor, count: int, ending: Tensor, end_id: int) -> tuple[Tensor, Tensor]:
    """Returns the most probable words of each row.

    Args:
        logits: (R, V).
        count: number of words, at most V.
        ending: (R,) bool, rows that have reached their maximum length, whose only word is the end.
        end_id: id of the end-of-sentence token.

    Returns:
        Log-probabilities (R, count), descending, and ids (R, count). Words with probability 0 have −inf.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    library = kernels(logits)
    found = _by_torch(logits, count) if library is None else _by_kernel(library, logits.contiguous(), count)
    log_probabilities, words, normaliser = found
    if ending.any():
        rows = ending.unsqueeze(1)
        log_probabilities = log_probabilities.masked_fill(rows, float("-inf"))
        log_probabilities[:, 0] = torch.where(ending, logits[:, end_id] - normaliser, log_probabilities[:, 0])
        words = words.masked_fill(rows, end_id)
    return log_probabilities, words


def _by_torch(logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    normaliser = logits.logsumexp(-1)
    values, words = logits.topk(count)
    return values - normaliser.unsqueeze(1), words, normaliser


def _by_kernel(library: Library, logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    rows, size = logits.shape
    found, normaliser = logits.new_empty(rows, count), logits.new_empty(rows)
    words = logits.new_empty(rows, count, dtype=torch.int64)
    torch.get_num_threads()  # applies torch's thread count in a new Python thread
    fields = TopWordsFields(
        rows=rows,
        words=size,
        count=count,
        logits=address(logits),
        log_probabilities=address(found),
        ids=address(words),
        normalisers=address(normaliser),
    )
    library.top_words(ctypes.addressof(fields))
    return found, words, normaliser
