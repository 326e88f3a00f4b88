"""Benchmarks of cells, training steps, decoding and word vectors; the timed variants run alternately."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.benchmarks.all import bench_all as bench_all
    from sluice.benchmarks.cells import bench_cells as bench_cells
    from sluice.benchmarks.language import bench_language as bench_language
    from sluice.benchmarks.scaling import bench_scale as bench_scale
    from sluice.benchmarks.seq2seq import bench_seq2seq as bench_seq2seq
    from sluice.benchmarks.timing import bench_lengths as bench_lengths
    from sluice.benchmarks.timing import median_seconds as median_seconds
    from sluice.benchmarks.word2vec import bench_word2vec as bench_word2vec

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "all": ["bench_all"],
        "cells": ["bench_cells"],
        "language": ["bench_language"],
        "scaling": ["bench_scale"],
        "seq2seq": ["bench_seq2seq"],
        "timing": ["bench_lengths", "median_seconds"],
        "word2vec": ["bench_word2vec"],
    },
)
