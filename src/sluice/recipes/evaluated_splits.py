"""The texts of a split in a trained model's own vocabulary and classes, in batches; a function for each kind."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from sluice.data.batches import BatchMaker
from sluice.data.pair_batches import PairBatchMaker
from sluice.data.parallel import assign_pairs, encode_pairs, read_pair_texts
from sluice.data.samplers import BucketBatchSampler
from sluice.data.sequence_batches import SequenceBatchMaker
from sluice.data.sources import LabelledCorpus
from sluice.data.split_hashes import hashes_of
from sluice.data.splits import assign_splits
from sluice.data.tagging import assign_sentences, encode_tagged, read_sentences, sentence_hashes
from sluice.data.text_pair_batches import TextPairBatchMaker
from sluice.data.text_pairs import encode_text_pairs, letters_of, new_table, pair_hashes, read_pairs
from sluice.data.tokenizing import Split, assign_one_by_one, encode_documents
from sluice.inference.translator import Translator
from sluice.recipes.classification import text_settings
from sluice.recipes.data_checks import rows_of_split
from sluice.recipes.load import SavedModel
from sluice.recipes.pairs import letter_settings
from sluice.recipes.registry import CLASSIFICATION, PAIRS, SEQUENCES
from sluice.recipes.sequences import tag_settings
from sluice.recipes.translation import TranslationFamily

EVALUATION_FACTOR = 4
"""How many training batches are one of evaluation, where nothing is searched for."""


class EvaluatedSplit(NamedTuple):
    """The texts to measure on."""

    loader: DataLoader[Any]
    size: int
    description: str
    """Where they come from."""
    corpus: Any
    left_out: int = 0
    """Texts of the corpus that are in no split of the model's run."""


def texts_of_split(model: SavedModel, split: str) -> EvaluatedSplit:
    """Labelled texts.

    Raises:
        UserError: for texts that can't be had, or a class that the model doesn't know.
    """
    corpus: LabelledCorpus = CLASSIFICATION.find_corpus(model.config, may_fall_back=False, known=model.labels)
    settings, documents = text_settings(model.config), list(corpus.documents())
    given = np.asarray([document.split for document in documents], dtype=np.str_)
    hashes = hashes_of((document.text,) for document in documents)
    rows, left_out = rows_of_split(
        model, split, given, hashes, lambda: assign_one_by_one(documents, settings, corpus.labels)
    )
    chosen = encode_documents([documents[row] for row in rows], settings.tokenizer, model.vocab)
    return _classified(model, corpus, chosen, left_out)


def texts_of_file(model: SavedModel, corpus: LabelledCorpus) -> EvaluatedSplit:
    """All texts of a file of one's own.

    Raises:
        UserError: for a file that can't be read, or a class that the model doesn't know.
    """
    return _classified(
        model, corpus, encode_documents(corpus.documents(), model.config.task.text.tokenizer, model.vocab)
    )


def sentences_of_split(model: SavedModel, split: str) -> EvaluatedSplit:
    """Tagged sentences.

    Raises:
        UserError: for sentences that can't be had, or a tag that the model doesn't know.
    """
    tags = tuple(model.parts["tags"])
    corpus = SEQUENCES.find_corpus(model.config, may_fall_back=False, known=tags)
    sentences, given = read_sentences(corpus)
    settings = tag_settings(model.config)
    hashes = sentence_hashes(sentences)
    rows, left_out = rows_of_split(model, split, given, hashes, lambda: assign_sentences(given, settings, None))
    encoded = encode_tagged([sentences[row] for row in rows], model.vocab, tags)
    batch_size = EVALUATION_FACTOR * model.config.task.data.batch_size
    loader = _bucketed(encoded.lengths, SequenceBatchMaker(encoded), batch_size)
    return EvaluatedSplit(loader, len(rows), corpus.description, corpus, left_out)


def text_pairs_of_split(model: SavedModel, split: str) -> EvaluatedSplit:
    """Labelled pairs of texts.

    Raises:
        UserError: for pairs that can't be had, or a class that the model doesn't know.
    """
    corpus, data = PAIRS.find_corpus(model.config, may_fall_back=False, known=model.labels), model.config.task.data
    pairs, given = read_pairs(corpus)
    fractions = {"test": data.test_share, "val": data.validation_share}
    labels = np.asarray([pair.label for pair in pairs], dtype=np.int64)
    rows, left_out = rows_of_split(
        model,
        split,
        given,
        pair_hashes(pairs),
        lambda: assign_splits(given, labels=labels, names=model.labels, fractions=fractions, texts=None),
    )
    settings, table = letter_settings(model.config), new_table()
    encoded = encode_text_pairs([pairs[row] for row in rows], settings.tokenizer, table)
    make = TextPairBatchMaker(
        encoded,
        letters_of(list(table), settings),
        max_length=data.max_length,
        truncation=data.truncation,
        with_deciding=corpus.knows_deciding,
    )
    loader = _bucketed(encoded.kept_lengths(data.max_length), make, EVALUATION_FACTOR * data.batch_size)
    return EvaluatedSplit(loader, len(rows), corpus.description, corpus, left_out)


def sentence_pairs_of_split(
    model: SavedModel, family: TranslationFamily, translator: Translator, split: str
) -> EvaluatedSplit:
    """Sentences and their translations.

    Raises:
        UserError: for sentences that can't be had.
    """
    corpus = family.find_corpus(model.config, may_fall_back=False)
    settings = family.pair_settings(model.config)
    texts, given, _ = read_pair_texts(corpus)
    rows, left_out = rows_of_split(
        model, split, given, texts.hashes(), lambda: assign_pairs(texts, given, settings, one_by_one=True)
    )
    encoded = encode_pairs(
        texts.chosen(rows), translator.source, translator.target, settings, filtered=split == "train"
    )
    keys, _ = encoded.sort_keys()
    loader = _bucketed(keys, PairBatchMaker(encoded, with_texts=True), model.config.task.data.batch_size)
    return EvaluatedSplit(loader, len(encoded), corpus.description, corpus, left_out)


def _classified(model: SavedModel, corpus: LabelledCorpus, split: Split, left_out: int = 0) -> EvaluatedSplit:
    data = model.config.task.data
    make = BatchMaker(
        split.texts,
        split.labels,
        max_length=data.max_length,
        truncation=data.truncation,
        padding=model.config.task.padding,
    )
    loader = _bucketed(split.kept_lengths(data.max_length), make, EVALUATION_FACTOR * data.batch_size)
    return EvaluatedSplit(loader, len(split.labels), corpus.description, corpus, left_out)


def _bucketed(keys: NDArray[np.int64], make: Callable[[list[int]], Any], batch_size: int) -> DataLoader[Any]:
    sampler = BucketBatchSampler(keys, batch_size=min(batch_size, len(keys)))
    return DataLoader(range(len(keys)), batch_sampler=sampler, collate_fn=make)  # type: ignore[arg-type]
