"""Trained models in use: classification, tagging, text generation, translation, and evaluation of language models."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.inference.classifier import Classifier as Classifier
    from sluice.inference.classifier import ClassPrediction as ClassPrediction
    from sluice.inference.dynamic_evaluation import DynamicEvaluation as DynamicEvaluation
    from sluice.inference.language_model import GeneratedText as GeneratedText
    from sluice.inference.language_model import Sampling as Sampling
    from sluice.inference.language_model import TextGenerator as TextGenerator
    from sluice.inference.language_model import TokenScores as TokenScores
    from sluice.inference.lm_evaluation import LMEvaluator as LMEvaluator
    from sluice.inference.lm_evaluation import TextLoss as TextLoss
    from sluice.inference.neural_cache import NeuralCache as NeuralCache
    from sluice.inference.pair_classifier import PairPrediction as PairPrediction
    from sluice.inference.pair_classifier import PairPredictor as PairPredictor
    from sluice.inference.predictor import Prediction as Prediction
    from sluice.inference.predictor import Predictor as Predictor
    from sluice.inference.tagger import Tagger as Tagger
    from sluice.inference.tagger import TagPrediction as TagPrediction
    from sluice.inference.translator import Translation as Translation
    from sluice.inference.translator import Translator as Translator
    from sluice.inference.translator import attention_map as attention_map

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "classifier": ["ClassPrediction", "Classifier"],
        "dynamic_evaluation": ["DynamicEvaluation"],
        "language_model": ["GeneratedText", "Sampling", "TextGenerator", "TokenScores"],
        "lm_evaluation": ["LMEvaluator", "TextLoss"],
        "neural_cache": ["NeuralCache"],
        "pair_classifier": ["PairPrediction", "PairPredictor"],
        "predictor": ["Prediction", "Predictor"],
        "tagger": ["TagPrediction", "Tagger"],
        "translator": ["Translation", "Translator", "attention_map"],
    },
)
