"""Small untrained models with random weights, for examples and tests."""

import torch

from sluice.data.pair_encoding import CharNgramSettings
from sluice.inference.classifier import Classifier
from sluice.inference.language_model import LanguageModel
from sluice.inference.pair_classifier import PairClassifier
from sluice.inference.tagger import Tagger
from sluice.inference.translator import Translator
from sluice.layers.attention import make_attention
from sluice.layers.char_ngrams import CharNgramEmbedding
from sluice.layers.embedding import LearnedEmbedding
from sluice.layers.heads import make_head
from sluice.models.classifier import TextClassifier
from sluice.models.decoder import Decoder, decoder_input_size
from sluice.models.language import LanguageModel as LanguageModelNetwork
from sluice.models.pair_classifier import PairClassifier as PairNetwork
from sluice.models.seq2seq import Seq2Seq, SpecialIds
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.recurrent import RecurrentStack
from sluice.text.coder import BOS_ID, EOS_ID, MARKS, SentenceCoder, SentenceVocab
from sluice.text.tokenizers import make_tokenizer
from sluice.text.vocab import PADDING_ID, SPECIALS, Vocab

SIZE = 8
"""Units of every layer."""
WORDS = ("the", "film", "was", "good", "bad", ".")


def classifier(labels: tuple[str, ...] = ("neg", "pos")) -> Classifier:
    """Returns a classifier: an LSTM over six words."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        vocab = Vocab([*SPECIALS, *WORDS])
        embedding, recurrent = _embedding(vocab), _stack("lstm")
        network = TextClassifier(embedding=embedding, recurrent=recurrent, num_classes=len(labels), pooling="last")
    return Classifier(
        network=network.eval(),
        vocab=vocab,
        labels=labels,
        tokenize=make_tokenizer("basic_english"),
        max_length=20,
        truncation="head",
        padding="right",
    )


def language_model() -> LanguageModel:
    """Returns a language model: a GRU over four tokens."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        vocab = Vocab([*SPECIALS, "<eos>", "the", "sea", "sleeps"])
        head = make_head("full", input_size=SIZE, vocab_size=len(vocab))
        network = LanguageModelNetwork(embedding=_embedding(vocab), recurrent=_stack("gru"), head=head)
    return LanguageModel(network=network.eval(), vocab=vocab, tokenizer="words", chunk_length=50)


def tagger() -> Tagger:
    """Returns a tagger: a bidirectional LSTM over six words."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        vocab = Vocab([*SPECIALS, *WORDS])
        recurrent = _stack("lstm", bidirectional=True)
        network = SequenceLabeller(embedding=_embedding(vocab), recurrent=recurrent, num_outputs=3)
    return Tagger(network=network.eval(), vocab=vocab, tags=("O", "B-PER", "I-PER"), scheme="iob2")


def pair_classifier() -> PairClassifier:
    """Returns a classifier of pairs: an LSTM over words represented by character n-grams."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        embedding = CharNgramEmbedding(buckets=50, size=SIZE)
        network = PairNetwork(embedding=embedding, recurrent=_stack("lstm"), num_classes=2, size=SIZE)
    return PairClassifier(
        network=network.eval(),
        labels=("different", "same"),
        tokenize=make_tokenizer("words"),
        settings=CharNgramSettings(buckets=50),
        max_length=20,
        truncation="head",
    )


def translator() -> Translator:
    """Returns a translator: a GRU encoder, and a GRU decoder with dot-product attention."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        source = SentenceVocab([*SPECIALS, *MARKS, "ein", "Hund", "Mann", "schläft"])
        target = SentenceVocab([*SPECIALS, *MARKS, "a", "dog", "man", "sleeps"])
        attention = make_attention("dot", query_size=SIZE, memory_size=SIZE, size=SIZE)
        sizes = {"embedding_size": SIZE, "output_size": SIZE, "memory_size": SIZE}
        input_size = decoder_input_size(**sizes, attention=True, input_feeding=False)
        decoder = Decoder(
            embedding=_embedding(target),
            stack=RecurrentStack(cell="gru", input_size=input_size, hidden_size=SIZE),
            attention=attention,
            memory_size=SIZE,
            output_size=SIZE,
            input_feeding=False,
        )
        network = Seq2Seq(
            source_embedding=_embedding(source),
            encoder=_stack("gru"),
            decoder=decoder,
            ids=SpecialIds(BOS_ID, EOS_ID, forbidden=(PADDING_ID, BOS_ID)),
        )
    return Translator(
        network=network.eval(),
        source=SentenceCoder(vocab=source, unit="words", language="de", tokenizer="words"),
        target=SentenceCoder(vocab=target, unit="words", language="en", tokenizer="words"),
    )


def _embedding(vocab: Vocab) -> LearnedEmbedding:
    return LearnedEmbedding(vocab_size=len(vocab), size=SIZE, padding_id=PADDING_ID, initial_std=1.0)


def _stack(cell: str, *, bidirectional: bool = False) -> RecurrentStack:
    return RecurrentStack(cell=cell, input_size=SIZE, hidden_size=SIZE, bidirectional=bidirectional)
