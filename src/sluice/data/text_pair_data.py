"""The DataModule of labelled pairs of texts."""

from pathlib import Path

import torch
from torch.utils.data import DataLoader

from sluice.data.resumable import ResumableData
from sluice.data.samplers import BucketBatchSampler
from sluice.data.text_pair_batches import TextPairBatch, TextPairBatchMaker
from sluice.data.text_pairs import LetterSettings, PairCorpus, PreparedTextPairs, prepare_text_pairs
from sluice.errors import UserError


class TextPairData(ResumableData):
    """Pairs in batches whose longer texts are of like length; prepared once, then read from disk."""

    def __init__(
        self,
        *,
        corpus: PairCorpus,
        settings: LetterSettings,
        cache_dir: Path,
        validation_share: float = 0.1,
        test_share: float = 0.1,
        batch_size: int = 64,
        max_length: int = 100,
        truncation: str = "head_tail",
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        """
        Args:
            corpus: where the pairs come from.
            settings: how they become words and letters.
            cache_dir: where the prepared arrays are kept.
            validation_share: of each class, where the corpus has no validation pairs.
            test_share: of each class, where the corpus has no test pairs.
            batch_size: pairs in a training batch on one rank; evaluation takes four times as many.
            max_length: most words kept of a text.
            truncation: "head", "tail" or "head_tail".
            num_workers: loader processes.
            seed: of the training order.
        """
        super().__init__()
        self.corpus, self.settings, self.cache_dir = corpus, settings, cache_dir
        self.shares = {"test": test_share, "val": validation_share}
        self.batch_size, self.max_length, self.truncation = batch_size, max_length, truncation
        self.num_workers, self.seed = num_workers, seed
        self._prepared: PreparedTextPairs | None = None

    @property
    def prepared(self) -> PreparedTextPairs:
        """The arrays, the table of words and the labels; prepared on first use."""
        if self._prepared is None:
            self._prepared = prepare_text_pairs(self.corpus, self.settings, self.shares, self.cache_dir)
        return self._prepared

    def text_of(self, split: str, index: int) -> str:
        """The words of a pair, both texts."""
        texts, words = self.prepared.splits[split].texts, self.prepared.words
        rows = (index, index + len(self.prepared.splits[split]))
        spans = [texts.flat[texts.offsets[row] : texts.offsets[row + 1]] for row in rows]
        return " | ".join(" ".join(words[place] for place in span) for span in spans)

    def train_dataloader(self) -> DataLoader[TextPairBatch]:
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[TextPairBatch]:
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[TextPairBatch]:
        return self.loader("test")

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[TextPairBatch]:
        """A split in batches, with its deciding words unless it is shuffled; this process's share.

        Raises:
            UserError: if there are too few pairs for all processes.
        """
        split = self.prepared.splits[name]
        rank, world_size = self.place
        if len(split) < world_size:
            raise UserError(f"the {name} split has {len(split)} pairs, too few for {world_size} processes")
        batch_size = self.batch_size
        if not shuffle:
            batch_size = min(4 * batch_size, len(split) // world_size)  # every rank has something to measure
        sampler = BucketBatchSampler(
            split.kept_lengths(self.max_length),
            batch_size=batch_size,
            shuffle=shuffle,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )
        if shuffle:
            sampler.start_at(*self._start)
        make = TextPairBatchMaker(
            split,
            self.prepared.ngrams,
            max_length=self.max_length,
            truncation=self.truncation,
            with_deciding=not shuffle and self.corpus.knows_deciding,
        )
        return DataLoader(
            range(len(split)),  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=make,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
        )
