"""Sentence pairs that get harder while a network learns."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sluice.data.samplers import BucketBatchSampler
from sluice.data.staged_sampler import StagedBatchSampler
from sluice.data.translation import TranslationData
from sluice.errors import UserError


def climbing(stages: int, *, epochs: int, share: float) -> Callable[[int], int]:
    """From an epoch to its stage: they last equally long, the last one also for the rest.

    Args:
        stages: from 1 on.
        epochs: of the whole training.
        share: part of the epochs in which all stages but for the rest of the last one go by; 0 has the last one only.
    """

    def stage_of(epoch: int) -> int:
        return min(stages - 1, int(epoch * stages / (share * epochs))) if share else stages - 1

    return stage_of


class StagedPairs(TranslationData):
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
        options: dict[str, Any] = {"batch_size": batch_size, "max_tokens": max_tokens, "shuffle": shuffle}
        if not shuffle:
            return super().sampler(keys, **options)
        missing = self.stages * self.stage_size - len(keys)
        if missing:
            raise UserError(
                f"task.data.max_length={self.settings.max_length} is too small: {missing:,} training pairs are longer, "
                "and no stage can do without; choose a larger one"
            )
        parts = np.split(keys, self.stages)
        samplers = [super(StagedPairs, self).sampler(part, **options) for part in parts]
        return StagedBatchSampler(samplers, stage_of=self.stage_of)  # type: ignore[arg-type]
