"""LightningModules: loss, metrics and optimizer of each kind of task."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.modules.base import TaskModule as TaskModule
    from sluice.modules.classification import ClassificationModule as ClassificationModule
    from sluice.modules.execute import ExecutionModule as ExecutionModule
    from sluice.modules.language import LanguageModelModule as LanguageModelModule
    from sluice.modules.monitor import Monitor as Monitor
    from sluice.modules.pairs import PairModule as PairModule
    from sluice.modules.regression import RegressionModule as RegressionModule
    from sluice.modules.sequence_labelling import SequenceLabellingModule as SequenceLabellingModule
    from sluice.modules.translation import ScoredTranslation as ScoredTranslation
    from sluice.modules.translation import TranslationModule as TranslationModule
    from sluice.modules.word2vec import Word2VecModule as Word2VecModule

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "base": ["TaskModule"],
        "classification": ["ClassificationModule"],
        "execute": ["ExecutionModule"],
        "language": ["LanguageModelModule"],
        "monitor": ["Monitor"],
        "pairs": ["PairModule"],
        "regression": ["RegressionModule"],
        "sequence_labelling": ["SequenceLabellingModule"],
        "translation": ["ScoredTranslation", "TranslationModule"],
        "word2vec": ["Word2VecModule"],
    },
)
