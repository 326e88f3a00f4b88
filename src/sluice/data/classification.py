"""The DataModule of labelled texts."""

import logging
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sluice.data.batches import BatchMaker, TextBatch
from sluice.data.bucketed import BucketedData
from sluice.data.cache import Stored, entry_path, load_or_build
from sluice.data.sources import LabelledCorpus
from sluice.data.tokenizing import PreparedCorpus, TextSettings, prepare_corpus
from sluice.data.word_vectors import WINDOW, ppmi_vectors

log = logging.getLogger(__name__)


class ClassificationData(BucketedData):
    """Labelled texts in batches of like length; prepared once, then read from disk."""

    items = "texts"

    def __init__(
        self,
        *,
        corpus: LabelledCorpus,
        settings: TextSettings,
        cache_dir: Path,
        batch_size: int = 64,
        max_tokens: int | None = None,
        max_length: int = 400,
        truncation: str = "head",
        padding: str = "right",
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        """
        Args:
            corpus: where the texts come from.
            settings: how they become ids.
            cache_dir: where the prepared arrays are kept.
            batch_size: texts in a training batch on one rank; evaluation takes four times as many.
            max_tokens: budget of a training batch on one rank, padding counted; None for no budget.
            max_length: most tokens kept of a text.
            truncation: "head", "tail" or "head_tail".
            padding: "left" or "right" of the texts.
            num_workers: loader processes; 0 is fastest on a CPU, making a batch takes about 0.1 ms.
            seed: of the training order.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed, max_tokens=max_tokens)
        self.corpus, self.settings, self.cache_dir = corpus, settings, cache_dir
        self.max_length, self.truncation, self.padding = max_length, truncation, padding
        self._prepared: PreparedCorpus | None = None

    @property
    def prepared(self) -> PreparedCorpus:
        """The arrays, vocabulary and labels; prepared on first use."""
        if self._prepared is None:
            self._prepared = prepare_corpus(self.corpus, self.settings, self.cache_dir)
        return self._prepared

    def word_vectors(self, size: int) -> Tensor:
        """(V, size) vectors from the training texts alone, see `ppmi_vectors`; made and stored on first use."""
        texts = {"corpus": self.prepared.identity.fingerprint.key, **vars(self.settings)}
        key = {"texts": texts, "size": size, "window": WINDOW}
        path = entry_path(self.cache_dir, f"vectors-{self.corpus.name}", key)

        def build() -> Stored:
            started = time.monotonic()
            vectors = ppmi_vectors(self.prepared.splits["train"].texts, len(self.prepared.vocab), size)
            log.info("Word vectors from the training texts, once: %.0f s", time.monotonic() - started)
            return Stored({"vectors": vectors.numpy()}, {})

        return torch.from_numpy(load_or_build(path, build).arrays["vectors"].copy())

    def text_of(self, split: str, index: int) -> str:
        """The tokens of a text, as the model knows them."""
        texts = self.prepared.splits[split].texts
        return " ".join(self.prepared.vocab.decode(texts.flat[texts.offsets[index] : texts.offsets[index + 1]]))

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[TextBatch]:
        """A split in batches, this process's share.

        Raises:
            UserError: if there are too few texts for all processes.
        """
        split = self.prepared.splits[name]
        make = BatchMaker(
            split.texts,
            split.labels,
            max_length=self.max_length,
            truncation=self.truncation,
            padding=self.padding,
        )
        keys = split.kept_lengths(self.max_length)
        return self.bucketed(name, keys, make, shuffle=shuffle, max_tokens=self.max_tokens)
