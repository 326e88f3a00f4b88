"""DataModules, batches and collators, samplers, and the protocols of corpora."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.data.classification import ClassificationData as ClassificationData
    from sluice.data.classification import TextSettings as TextSettings
    from sluice.data.collate import Batch as Batch
    from sluice.data.collate import ParallelBatch as ParallelBatch
    from sluice.data.collate import ParallelCollator as ParallelCollator
    from sluice.data.collate import SequenceBatch as SequenceBatch
    from sluice.data.collate import SequenceCollator as SequenceCollator
    from sluice.data.collate import TextBatch as TextBatch
    from sluice.data.collate import TextCollator as TextCollator
    from sluice.data.collate import TextPairBatch as TextPairBatch
    from sluice.data.collate import TextPairCollator as TextPairCollator
    from sluice.data.corpora.in_memory import LabelledTexts as LabelledTexts
    from sluice.data.corpora.in_memory import SentencePairs as SentencePairs
    from sluice.data.corpora.in_memory import TextLines as TextLines
    from sluice.data.corpus import Corpus as Corpus
    from sluice.data.corpus import Document as Document
    from sluice.data.corpus import LabelledCorpus as LabelledCorpus
    from sluice.data.corpus import Line as Line
    from sluice.data.corpus import PairCorpus as PairCorpus
    from sluice.data.corpus import ParallelCorpus as ParallelCorpus
    from sluice.data.corpus import RunningText as RunningText
    from sluice.data.corpus import SentencePair as SentencePair
    from sluice.data.corpus import SourceFile as SourceFile
    from sluice.data.corpus import Sources as Sources
    from sluice.data.corpus import TaggedCorpus as TaggedCorpus
    from sluice.data.corpus import TaggedSentence as TaggedSentence
    from sluice.data.corpus import TextPair as TextPair
    from sluice.data.datamodule import BucketedData as BucketedData
    from sluice.data.datamodule import CorpusData as CorpusData
    from sluice.data.datamodule import ResumableData as ResumableData
    from sluice.data.language_modeling import LanguageData as LanguageData
    from sluice.data.pair_encoding import CharNgramSettings as CharNgramSettings
    from sluice.data.parallel import ParallelSettings as ParallelSettings
    from sluice.data.ragged import Ragged as Ragged
    from sluice.data.ragged import RaggedSequences as RaggedSequences
    from sluice.data.ragged import Sequences as Sequences
    from sluice.data.running_text import StreamSettings as StreamSettings
    from sluice.data.samplers import BucketBatchSampler as BucketBatchSampler
    from sluice.data.samplers import Chunk as Chunk
    from sluice.data.samplers import ChunkSampler as ChunkSampler
    from sluice.data.samplers import StagedBatchSampler as StagedBatchSampler
    from sluice.data.sequences import SequenceData as SequenceData
    from sluice.data.sequences import StreamData as StreamData
    from sluice.data.streams import ChunkBatch as ChunkBatch
    from sluice.data.tagging import TagSettings as TagSettings
    from sluice.data.text_pairs import TextPairData as TextPairData
    from sluice.data.translation import StagedTranslationData as StagedTranslationData
    from sluice.data.translation import TranslationData as TranslationData
    from sluice.data.word2vec import WindowBatch as WindowBatch
    from sluice.data.word2vec import WindowData as WindowData
    from sluice.data.word2vec import WindowSettings as WindowSettings

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "classification": ["ClassificationData", "TextSettings"],
        "collate": [
            *("Batch", "TextBatch", "SequenceBatch", "ParallelBatch", "TextPairBatch"),
            *("TextCollator", "SequenceCollator", "ParallelCollator", "TextPairCollator"),
        ],
        "corpora.in_memory": ["LabelledTexts", "SentencePairs", "TextLines"],
        "corpus": [
            *("Corpus", "LabelledCorpus", "PairCorpus", "ParallelCorpus", "RunningText", "TaggedCorpus"),
            *("Document", "Line", "SentencePair", "SourceFile", "Sources", "TaggedSentence", "TextPair"),
        ],
        "datamodule": ["BucketedData", "CorpusData", "ResumableData"],
        "language_modeling": ["LanguageData"],
        "pair_encoding": ["CharNgramSettings"],
        "parallel": ["ParallelSettings"],
        "ragged": ["Ragged", "RaggedSequences", "Sequences"],
        "running_text": ["StreamSettings"],
        "samplers": ["BucketBatchSampler", "Chunk", "ChunkSampler", "StagedBatchSampler"],
        "sequences": ["SequenceData", "StreamData"],
        "streams": ["ChunkBatch"],
        "tagging": ["TagSettings"],
        "text_pairs": ["TextPairData"],
        "translation": ["StagedTranslationData", "TranslationData"],
        "word2vec": ["WindowBatch", "WindowData", "WindowSettings"],
    },
)
