"""The DataModules of sentence pairs."""

import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from sluice.data.collate import ParallelBatch, ParallelCollator
from sluice.data.corpus import ParallelCorpus
from sluice.data.datamodule import BucketedData
from sluice.data.parallel import ParallelSettings, PreparedParallel, prepare_parallel
from sluice.data.samplers import BucketBatchSampler, StagedBatchSampler
from sluice.errors import UserError
from sluice.plain import Plain

log = logging.getLogger(__name__)


class TranslationData(BucketedData[ParallelBatch]):
    """Sentence pairs in batches whose sources and targets are of like length; prepared once, then read from disk."""

    items = "pairs"
    evaluation_factor = 1

    def __init__(
        self,
        *,
        corpus: ParallelCorpus,
        settings: ParallelSettings,
        cache_dir: Path,
        batch_size: int = 128,
        max_tokens: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        """
        Args:
            corpus: where the pairs come from.
            settings: how they become ids.
            cache_dir: where the prepared arrays are kept.
            batch_size: pairs in a batch on one rank.
            max_tokens: budget of a training batch on one rank, target tokens with padding, a source counting as
                a fraction of one more; None for no budget.
            num_workers: loader processes; 0 is fastest on a CPU, making a batch takes about 0.1 ms.
            seed: of the training order.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed, max_tokens=max_tokens)
        self.corpus, self.settings, self.cache_dir = corpus, settings, cache_dir

    @cached_property
    def prepared(self) -> PreparedParallel:
        """The arrays and both languages' coders; prepared on first use."""
        prepared = prepare_parallel(self.corpus, self.settings, self.cache_dir)
        for note in prepared.notes if self.rank_and_world_size[0] == 0 else ():
            log.warning("%s.", note)
        return prepared

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[ParallelBatch]:
        """A split in batches, with the texts unless it is shuffled; this process's share.

        Raises:
            UserError: if there are too few pairs for all processes, or too small a token budget.
        """
        split = self.prepared.splits[name]
        keys, scale = split.sort_keys()
        budget = self.max_tokens if shuffle else None
        if budget is not None and budget * scale < keys.max():
            longest = int((split.target.lengths - 1).max())
            raise UserError(
                f"task.data.max_tokens={budget} is too small: the longest target has {longest} tokens and takes up to "
                f"{longest + 1}; choose a larger one"
            )
        make = ParallelCollator(split, with_texts=not shuffle)
        return self.bucketed(name, keys, make, shuffle=shuffle, max_tokens=budget and budget * scale)


def curriculum_stages(stages: int, *, epochs: int, fraction: float) -> Callable[[int], int]:
    """From an epoch to its stage: they last equally long, the last one also for the rest.

    Args:
        stages: from 1 on.
        epochs: of the whole training.
        fraction: of the epochs after which the last stage has begun to last; 0 has the last one only.
    """

    def stage_of(epoch: int) -> int:
        return min(stages - 1, int(epoch * stages / (fraction * epochs))) if fraction else stages - 1

    return stage_of


class StagedTranslationData(TranslationData):
    """Training pairs in stages, one after the other in the corpus; an epoch has those of one stage."""

    def __init__(self, *, stages: int, stage_size: int, stage_of: Callable[[int], int], **shared: Any) -> None:
        """
        Args:
            stages: how many there are.
            stage_size: training pairs of each.
            stage_of: from an epoch to its stage.
            shared: see TranslationData; without a token budget.
        """
        super().__init__(**shared)
        self.stages, self.stage_size, self.stage_of = stages, stage_size, stage_of

    def sampler(
        self, keys: NDArray[np.int64], *, batch_size: int, max_tokens: int | None, shuffle: bool
    ) -> BucketBatchSampler | StagedBatchSampler:
        """In training, the batches of the epoch's stage.

        Raises:
            UserError: if pairs were dropped, so that nobody knows where a stage ends.
        """
        options: Plain = {"batch_size": batch_size, "max_tokens": max_tokens, "shuffle": shuffle}
        if not shuffle:
            return super().sampler(keys, **options)
        missing = self.stages * self.stage_size - len(keys)
        if missing:
            raise UserError(
                f"task.data.max_length={self.settings.max_length} is too small: {missing:,} training pairs are longer, "
                "and no stage can do without; choose a larger one"
            )
        parts = np.split(keys, self.stages)
        samplers = [super(StagedTranslationData, self).sampler(part, **options) for part in parts]
        return StagedBatchSampler(samplers, stage_of=self.stage_of)  # type: ignore[arg-type]
