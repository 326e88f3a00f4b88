"""The DataModule of sentence pairs."""

import logging
from pathlib import Path

from torch.utils.data import DataLoader

from sluice.data.bucketed import BucketedData
from sluice.data.pair_batches import PairBatch, PairBatchMaker
from sluice.data.pairs import ParallelCorpus
from sluice.data.parallel import PairSettings, PreparedPairs, prepare_pairs
from sluice.errors import UserError

log = logging.getLogger(__name__)


class TranslationData(BucketedData):
    """Sentence pairs in batches whose sources and targets are of like length; prepared once, then read from disk."""

    items = "pairs"
    evaluation_factor = 1

    def __init__(
        self,
        *,
        corpus: ParallelCorpus,
        settings: PairSettings,
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
        self._prepared: PreparedPairs | None = None

    @property
    def prepared(self) -> PreparedPairs:
        """The arrays and both languages' coders; prepared on first use."""
        if self._prepared is None:
            self._prepared = prepare_pairs(self.corpus, self.settings, self.cache_dir)
            for note in self._prepared.notes if self.place[0] == 0 else ():
                log.warning("%s.", note)
        return self._prepared

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[PairBatch]:
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
        make = PairBatchMaker(split, with_texts=not shuffle)
        return self.bucketed(name, keys, make, shuffle=shuffle, max_tokens=budget and budget * scale)
