"""Metrics that give the same values on one process and on many."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.metrics.accuracy import DecidingFound as DecidingFound
    from sluice.metrics.accuracy import ExactMatch as ExactMatch
    from sluice.metrics.accuracy import StepAccuracy as StepAccuracy
    from sluice.metrics.classification_scores import F1 as F1
    from sluice.metrics.classification_scores import AreaUnderROC as AreaUnderROC
    from sluice.metrics.classification_scores import MacroF1 as MacroF1
    from sluice.metrics.metric_dict import MetricDict as MetricDict
    from sluice.metrics.perplexity import BitsPerToken as BitsPerToken
    from sluice.metrics.perplexity import Perplexity as Perplexity
    from sluice.metrics.perplexity import TokenLoss as TokenLoss
    from sluice.metrics.spans import SpanF1 as SpanF1
    from sluice.metrics.spans import SpanPrecision as SpanPrecision
    from sluice.metrics.spans import SpanRecall as SpanRecall
    from sluice.metrics.translation_scores import Scoring as Scoring
    from sluice.metrics.translation_scores import corpus_scores as corpus_scores
    from sluice.metrics.translation_scores import exact_match_scoring as exact_match_scoring
    from sluice.metrics.translation_scores import translation_scoring as translation_scoring
    from sluice.metrics.weighted_mean import RootMean as RootMean
    from sluice.metrics.weighted_mean import WeightedMean as WeightedMean

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "accuracy": ["DecidingFound", "ExactMatch", "StepAccuracy"],
        "classification_scores": ["F1", "AreaUnderROC", "MacroF1"],
        "metric_dict": ["MetricDict"],
        "perplexity": ["BitsPerToken", "Perplexity", "TokenLoss"],
        "spans": ["SpanF1", "SpanPrecision", "SpanRecall"],
        "translation_scores": ["Scoring", "corpus_scores", "exact_match_scoring", "translation_scoring"],
        "weighted_mean": ["RootMean", "WeightedMean"],
    },
)
