"""The DataModules of the sequences of a corpus."""

from typing import Any, TypeAlias

from sluice.data.corpus import Corpus
from sluice.data.sequence_parts import SequenceParts
from sluice.data.sequences import SequenceData, StreamData


class _OfCorpus:
    """Mixin for DataModules: the corpus, and the checkpoint contents besides the weights."""

    def __init__(self, *, corpus: Corpus, parts: SequenceParts, **options: Any) -> None:
        """
        Args:
            corpus: source of the sequences.
            parts: checkpoint contents besides the weights.
            options: arguments of the DataModule.
        """
        super().__init__(**options)
        self.corpus, self.parts = corpus, parts


class SequenceTaskData(_OfCorpus, SequenceData):
    """DataModule of the sequences of a corpus."""


class StreamTaskData(_OfCorpus, StreamData):
    """DataModule of parallel streams."""


TaskData: TypeAlias = SequenceTaskData | StreamTaskData
