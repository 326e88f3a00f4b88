"""Networks: embeddings, recurrent stacks and output layers combined for each kind of task. Pure torch."""

from sluice.models.averaging import average_states
from sluice.models.bridge import Bridge, make_bridge
from sluice.models.classifier import ClassifierOutput, TextClassifier
from sluice.models.decoder import Decoder, DecoderOutput, DecoderState, decoder_input_size
from sluice.models.language import LanguageModel, LanguageModelOutput
from sluice.models.pair_classifier import PairClassifier, PairClassifierOutput
from sluice.models.regressor import Regressor
from sluice.models.seq2seq import Seq2Seq, SpecialIds
from sluice.models.sequence_labeller import SequenceLabeller, SequenceLabellerOutput
from sluice.models.word2vec import Word2Vec

__all__ = [
    "Bridge",
    "ClassifierOutput",
    "Decoder",
    "DecoderOutput",
    "DecoderState",
    "LanguageModel",
    "LanguageModelOutput",
    "PairClassifier",
    "PairClassifierOutput",
    "Regressor",
    "Seq2Seq",
    "SequenceLabeller",
    "SequenceLabellerOutput",
    "SpecialIds",
    "TextClassifier",
    "Word2Vec",
    "average_states",
    "decoder_input_size",
    "make_bridge",
]
