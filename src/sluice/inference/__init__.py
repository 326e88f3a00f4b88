"""Trained models in use: classification, tagging, text generation, translation, word vectors, and traces of states."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.inference.base import InferenceModel as InferenceModel
    from sluice.inference.classifier import Classifier as Classifier
    from sluice.inference.classifier import ClassPrediction as ClassPrediction
    from sluice.inference.dynamic_evaluation import DynamicEvaluation as DynamicEvaluation
    from sluice.inference.embeddings import Embeddings as Embeddings
    from sluice.inference.embeddings import Neighbour as Neighbour
    from sluice.inference.hidden_states import HiddenStates as HiddenStates
    from sluice.inference.hidden_states import record_hidden_states as record_hidden_states
    from sluice.inference.language_model import GeneratedText as GeneratedText
    from sluice.inference.language_model import LanguageModel as LanguageModel
    from sluice.inference.language_model import Suggestion as Suggestion
    from sluice.inference.language_model import TextScore as TextScore
    from sluice.inference.lm_evaluation import LMEvaluator as LMEvaluator
    from sluice.inference.lm_evaluation import TextLoss as TextLoss
    from sluice.inference.neural_cache import NeuralCache as NeuralCache
    from sluice.inference.pair_classifier import PairClassifier as PairClassifier
    from sluice.inference.pair_classifier import PairPrediction as PairPrediction
    from sluice.inference.predictor import Prediction as Prediction
    from sluice.inference.predictor import Predictor as Predictor
    from sluice.inference.tagger import Tagger as Tagger
    from sluice.inference.tagger import TagPrediction as TagPrediction
    from sluice.inference.trace import StepPrediction as StepPrediction
    from sluice.inference.trace import Trace as Trace
    from sluice.inference.translator import Translation as Translation
    from sluice.inference.translator import Translator as Translator
    from sluice.inference.translator import attention_map as attention_map

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "base": ["InferenceModel"],
        "classifier": ["ClassPrediction", "Classifier"],
        "dynamic_evaluation": ["DynamicEvaluation"],
        "embeddings": ["Embeddings", "Neighbour"],
        "hidden_states": ["HiddenStates", "record_hidden_states"],
        "language_model": ["GeneratedText", "LanguageModel", "Suggestion", "TextScore"],
        "lm_evaluation": ["LMEvaluator", "TextLoss"],
        "neural_cache": ["NeuralCache"],
        "pair_classifier": ["PairClassifier", "PairPrediction"],
        "predictor": ["Prediction", "Predictor"],
        "tagger": ["TagPrediction", "Tagger"],
        "trace": ["StepPrediction", "Trace"],
        "translator": ["Translation", "Translator", "attention_map"],
    },
)
