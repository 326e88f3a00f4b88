"""Training data in stages, from the easiest to the hardest."""

from collections.abc import Callable, Iterator, Sequence

from torch.utils.data import Sampler

from sluice.data.samplers import BucketBatchSampler


class StagedBatchSampler(Sampler[list[int]]):
    """An epoch is dealt from one stage of the data alone; which one, the epoch's number says.

    The stages lie one after the other in the data. So the order depends on the seed and the epoch, as without stages.
    """

    def __init__(self, stages: Sequence[BucketBatchSampler], *, stage_of: Callable[[int], int]) -> None:
        """
        Args:
            stages: the sampler of each, with places that begin at 0; every one with as many batches.
            stage_of: from an epoch to its stage.

        Raises:
            ValueError: if the stages have not as many batches: schedules count on epochs of one length.
        """
        if len({len(stage) for stage in stages}) != 1:
            raise ValueError(f"stages must have as many batches, got {[len(stage) for stage in stages]}")
        self.stages, self.stage_of, self.epoch = stages, stage_of, 0

    @property
    def sampler(self) -> "StagedBatchSampler":
        """Itself: Lightning passes the epoch on to `batch_sampler.sampler` and to nothing else."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch's stage and order."""
        self.epoch = epoch

    def start_at(self, epoch: int, batch: int) -> None:
        """Goes to an epoch and leaves out its first batches, which were seen before; other epochs are whole."""
        self.epoch = epoch
        for stage in self.stages:
            stage.start_at(epoch, batch)

    def __len__(self) -> int:
        return len(self.stages[0])

    def __iter__(self) -> Iterator[list[int]]:
        number = self.stage_of(self.epoch)
        first = sum(len(stage.lengths) for stage in self.stages[:number])
        self.stages[number].set_epoch(self.epoch)
        for batch in self.stages[number]:
            yield [first + place for place in batch]
