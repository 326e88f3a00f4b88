"""The DataModules of sentence pairs."""

import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from sluice.data.cache import DEFAULT_CACHE
from sluice.data.collate import ParallelBatch, ParallelCollator, Resegmentation
from sluice.data.corpus import ParallelCorpus
from sluice.data.datamodule import BucketedData
from sluice.data.parallel import ParallelSettings, PreparedParallel, prepare_parallel
from sluice.data.samplers import BucketBatchSampler, StagedBatchSampler
from sluice.errors import UserError
from sluice.plain import Plain
from sluice.text.bpe_dropout import BPEDropout

log = logging.getLogger(__name__)


class TranslationData(BucketedData[ParallelBatch]):
    """Sentence pairs in batches of similar lengths; prepared once, then memory-mapped from the cache."""

    items = "pairs"
    evaluation_factor = 1

    def __init__(
        self,
        *,
        corpus: ParallelCorpus,
        settings: ParallelSettings | None = None,
        cache_dir: Path = DEFAULT_CACHE,
        batch_size: int = 128,
        max_tokens: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        """
        Args:
            corpus: the sentence pairs.
            settings: tokenisation, vocabularies, filters and splits; None for the defaults of ParallelSettings.
            cache_dir: folder for the prepared arrays.
            batch_size: pairs per rank in a batch.
            max_tokens: maximum number of target tokens per rank in a training batch, including padding (a source
                counts as a fraction of one token), without `subword_dropout`; None for no limit.
            num_workers: loader processes; 0 is fastest on a CPU (collating takes about 0.1 ms per batch).
            seed: seed of the training order.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed, max_tokens=max_tokens)
        self.corpus, self.settings, self.cache_dir = corpus, settings or ParallelSettings(), cache_dir

    @cached_property
    def prepared(self) -> PreparedParallel:
        """The arrays and the coders of both languages; prepared on first use."""
        prepared = prepare_parallel(self.corpus, self.settings, self.cache_dir)
        for note in prepared.notes if self.rank_and_world_size[0] == 0 else ():
            log.warning("%s.", note)
        return prepared

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[ParallelBatch]:
        """Returns this rank's batches of a split; batches include the texts unless shuffled.

        Raises:
            UserError: if there are fewer pairs than processes, or `max_tokens` is too small.
        """
        split = self.prepared.splits[name]
        keys, scale = split.sort_keys()
        max_tokens = None if self.max_tokens is None else self.max_tokens * scale
        if shuffle and max_tokens is not None and max_tokens < keys.max():
            longest = int((split.target.lengths - 1).max())
            raise UserError(
                f"task.data.max_tokens={self.max_tokens} is too small: the longest target has {longest} tokens; "
                f"increase it to {longest + 1}"
            )
        resegment = self._resegmentation() if shuffle else None
        collate = ParallelCollator(split, with_texts=not shuffle, resegment=resegment)
        loader = self.bucketed(name, keys, collate, shuffle=shuffle, max_tokens=max_tokens, scale=scale)
        if resegment is not None:
            resegment.sampler = loader.batch_sampler  # type: ignore[assignment]
        return loader

    def _resegmentation(self) -> Resegmentation | None:
        """Returns the random segmentation of training sentences, but not of symbols; None without `subword_dropout`."""
        probability = self.settings.subword_dropout
        if not probability:
            return None
        source, target = (
            BPEDropout(coder.vocab.tokens, probability) for coder in (self.prepared.source, self.prepared.target)
        )
        return Resegmentation(None if self.settings.symbols else source, target)


def curriculum_stages(stages: int, *, epochs: int, fraction: float) -> Callable[[int], int]:
    """Returns a function that maps an epoch to the index of its curriculum stage.

    The stages divide the first `fraction` of the epochs equally; the last stage continues until the end of training.

    Args:
        stages: number of stages.
        epochs: number of epochs of the whole training.
        fraction: fraction of the epochs divided among the stages; 0 selects the last stage throughout.

    Example:
        >>> [curriculum_stages(3, epochs=6, fraction=0.5)(epoch) for epoch in range(6)]
        [0, 1, 2, 2, 2, 2]
    """

    def stage_of(epoch: int) -> int:
        return min(stages - 1, int(epoch * stages / (fraction * epochs))) if fraction else stages - 1

    return stage_of


class StagedTranslationData(TranslationData):
    """Curriculum learning: training pairs in consecutive stages of equal size, one stage per epoch."""

    def __init__(self, *, stages: int, stage_size: int, stage_of: Callable[[int], int], **options: Any) -> None:
        """
        Args:
            stages: number of stages.
            stage_size: training pairs per stage.
            stage_of: maps an epoch to the index of its stage.
            options: arguments of TranslationData, without `max_tokens`.
        """
        super().__init__(**options)
        self.stages, self.stage_size, self.stage_of = stages, stage_size, stage_of

    def sampler(
        self, keys: NDArray[np.int64], *, batch_size: int, max_tokens: int | None, shuffle: bool
    ) -> BucketBatchSampler | StagedBatchSampler:
        """Returns the batch sampler of this rank; in training, each epoch has the batches of its stage.

        Raises:
            UserError: if training pairs were dropped, so that the stage boundaries are unknown.
        """
        options: Plain = {"batch_size": batch_size, "max_tokens": max_tokens, "shuffle": shuffle}
        if not shuffle:
            return super().sampler(keys, **options)
        missing = self.stages * self.stage_size - len(keys)
        if missing:
            raise UserError(
                f"task.data.max_length={self.settings.max_length} is too small: {missing:,} training pairs are longer, "
                "but curriculum stages need all of them; increase it"
            )
        parts = np.split(keys, self.stages)
        samplers = [super(StagedTranslationData, self).sampler(part, **options) for part in parts]
        return StagedBatchSampler(samplers, stage_of=self.stage_of)  # type: ignore[arg-type]
