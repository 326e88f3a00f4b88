"""The DataModule of labelled pairs of texts."""

from pathlib import Path

from torch.utils.data import DataLoader

from sluice.data.bucketed import BucketedData
from sluice.data.text_pair_batches import TextPairBatch, TextPairBatchMaker
from sluice.data.text_pairs import LetterSettings, PairCorpus, PreparedTextPairs, prepare_text_pairs


class TextPairData(BucketedData):
    """Pairs in batches whose longer texts are of like length; prepared once, then read from disk."""

    items = "pairs"

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
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed)
        self.corpus, self.settings, self.cache_dir = corpus, settings, cache_dir
        self.shares = {"test": test_share, "val": validation_share}
        self.max_length, self.truncation = max_length, truncation
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

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[TextPairBatch]:
        """A split in batches, with its deciding words unless it is shuffled; this process's share.

        Raises:
            UserError: if there are too few pairs for all processes.
        """
        split = self.prepared.splits[name]
        make = TextPairBatchMaker(
            split,
            self.prepared.ngrams,
            max_length=self.max_length,
            truncation=self.truncation,
            with_deciding=not shuffle and self.corpus.knows_deciding,
        )
        return self.bucketed(name, split.kept_lengths(self.max_length), make, shuffle=shuffle)
