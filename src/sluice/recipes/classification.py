"""Base recipe of many-to-one classification."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

import numpy as np

from sluice.config.common import Embedding
from sluice.config.schema import Config
from sluice.config.tasks.classification import Classification, Ngrams
from sluice.data.collate import TextCollator
from sluice.data.corpora.tables import LabelledTable
from sluice.data.corpus import LabelledCorpus
from sluice.data.identity import hashes_of
from sluice.errors import UserError
from sluice.inference.classifier import Classifier
from sluice.layers.embedding import LearnedEmbedding
from sluice.layers.ngram_classifier import NgramClassifier
from sluice.models.classifier import TextClassifier
from sluice.recipes.build import build_embedding, build_stack
from sluice.recipes.labelled import ClassifierParts, LabelRecipe, tokenization
from sluice.recipes.task import batch_size_per_rank
from sluice.runs.data_checks import rows_of_split
from sluice.runs.evaluation import (
    TEST_MONITOR,
    EvaluatedSplit,
    Request,
    Table,
    bucketed_loader,
)
from sluice.runs.saved_model import SavedModel
from sluice.text.vocab import SPECIALS

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

    from sluice.data.classification import ClassificationData, Split, TextSettings
    from sluice.modules.classification import ClassificationModule

log = logging.getLogger(__name__)

Settings = TypeVar("Settings", bound=Classification)


class ClassificationRecipe(LabelRecipe[Settings, LabelledCorpus, "ClassificationData", "ClassificationModule"]):
    """Many-to-one classification of texts."""

    kind = "classification"
    pretrained_as: ClassVar[tuple[str, ...]] = ("language modelling",)
    description = "classifies texts"
    usage = 'sluice predict {run} "your text"'
    evaluates_files: ClassVar[bool] = True

    def text_settings(self, settings: Settings) -> TextSettings:
        """Returns the settings of tokenisation and vocabulary."""
        from sluice.data.classification import TextSettings

        text, data = settings.text, settings.data
        return TextSettings(
            tokens=tokenization(text),
            min_freq=text.min_freq,
            max_size=text.max_size,
            validation_fraction=data.validation_fraction,
            test_fraction=0.0,
        )

    def check(self, config: Config) -> None:
        super().check(config)
        data = self.settings(config).data
        if data.max_tokens is not None and data.max_tokens < data.max_length:
            raise UserError(
                f"task.data.max_tokens={data.max_tokens} cannot be used: it must be at least "
                f"task.data.max_length={data.max_length}"
            )

    def build_data(self, config: Config, corpus: LabelledCorpus) -> ClassificationData:
        from sluice.data.classification import ClassificationData

        settings = self.settings(config)
        data = settings.data
        return ClassificationData(
            corpus=corpus,
            settings=self.text_settings(settings),
            cache_dir=Path(config.paths.cache_dir),
            batch_size=batch_size_per_rank(config, data.batch_size, data.global_batch_size),
            max_tokens=data.max_tokens,
            max_length=data.max_length,
            truncation=data.truncation,
            padding=settings.padding,
            num_workers=data.num_workers,
            seed=config.seed,
        )

    def saved_parts(self, data: ClassificationData) -> ClassifierParts:
        prepared = data.prepared
        return {
            "vocab": prepared.vocab.tokens,
            "labels": list(prepared.labels),
            "subword_model": prepared.subword_model,
        }

    def example_parts(self, config: Config) -> ClassifierParts:
        return {"vocab": [*SPECIALS, "a"], "labels": ["a", "b"], "subword_model": None}

    def build_network(self, config: Config, parts: ClassifierParts) -> TextClassifier:
        settings = self.settings(config)
        length, segment = settings.data.max_length, settings.segment_length
        if segment is not None and segment > length:
            raise ValueError(f"task.segment_length={segment} must be at most task.data.max_length={length}")
        embedding = build_embedding(config, len(parts["vocab"]))
        return TextClassifier(
            embedding=embedding,
            recurrent=build_stack(config.model, input_size=embedding.output_size, one_hot=embedding.one_hot),
            num_classes=len(parts["labels"]),
            pooling=settings.pooling,
            input_dropout=config.model.input_dropout,
            output_dropout=settings.output_dropout,
            segment_length=settings.segment_length,
            padding=settings.padding,
            ngrams=_ngram_classifier(settings.ngrams, parts),
        )

    def build_module(self, config: Config, data: ClassificationData) -> ClassificationModule:
        from sluice.modules.class_weights import class_weights
        from sluice.modules.classification import ClassificationModule

        prepared, settings = data.prepared, self.settings(config)
        network = cast(TextClassifier, self.new_network(config, data))
        if _has_ppmi_vectors(config.embedding):
            _init_from_ppmi(network, data, config.embedding)
        if isinstance(ngrams := getattr(network, "ngrams", None), NgramClassifier):
            ngrams.fit_ratios(data.padded_training_texts())
        return ClassificationModule(
            network=network,
            labels=prepared.labels,
            label_smoothing=settings.label_smoothing,
            adversarial_epsilon=config.embedding.adversarial_epsilon,
            class_weights=class_weights(settings.class_weights, prepared.labels, prepared.splits["train"].labels),
            **self.module_arguments(config, data),
        )

    def module_for_test(self, model: SavedModel) -> ClassificationModule:
        from sluice.modules.classification import ClassificationModule

        return ClassificationModule(network=model.network, labels=model.labels, monitor=TEST_MONITOR)

    def callbacks(self, config: Config, data: ClassificationData) -> list[Callback]:
        from sluice.callbacks.misclassified import Misclassified

        return [Misclassified(labels=data.prepared.labels, text_of=lambda index: data.text_of("val", index))]

    def prepare(self, config: Config, data: ClassificationData) -> None:
        data.prepare_data()
        if _has_ppmi_vectors(config.embedding):
            data.word_vectors(config.embedding.size)

    def data_summary(self, data: ClassificationData) -> list[str]:
        prepared = data.prepared
        median = int(np.median(prepared.splits["train"].texts.lengths))
        labels = ", ".join(prepared.labels)
        return [f"{len(prepared.vocab):,} words in the vocabulary, median of {median} tokens, classes {labels}"]

    def inference(self, model: SavedModel) -> Classifier:
        settings = self.settings(model.config)
        return Classifier(
            network=model.network,
            vocab=model.vocab,
            labels=model.labels,
            tokenize=self.tokenizer_of(model),
            max_length=settings.data.max_length,
            truncation=settings.data.truncation,
            padding=settings.padding,
        )

    def examples(self, model: SavedModel, request: Request) -> tuple[ClassificationModule, EvaluatedSplit]:
        if request.table is None:
            texts = self._texts_of_split(model, request.split)
        else:
            texts = self._texts_of_table(model, request.table)
        return self.module_for_test(model), texts

    def _texts_of_split(self, model: SavedModel, split: str) -> EvaluatedSplit:
        from sluice.data.classification import encode_documents
        from sluice.data.splits import assign_documents

        corpus = self.find_corpus(model.config, may_fall_back=False, known=model.labels)
        settings, documents = self.text_settings(self.settings(model.config)), list(corpus.documents())
        given = np.asarray([document.split for document in documents], dtype=np.str_)
        hashes = hashes_of((document.text,) for document in documents)
        legacy = partial(assign_documents, documents, names=corpus.labels, fractions=settings.fractions, legacy=True)
        rows, left_out = rows_of_split(model, split, given, hashes, legacy)
        chosen = encode_documents([documents[row] for row in rows], self.tokenizer_of(model), model.vocab)
        return self._evaluated(model, corpus, chosen)._replace(left_out=left_out, hashes=hashes[rows])

    def _texts_of_table(self, model: SavedModel, table: Table) -> EvaluatedSplit:
        from sluice.data.classification import encode_documents

        text_column, *more = table.text_columns or self.text_columns(model.config)
        if more:
            raise UserError(f"--text-column names {1 + len(more)} columns: this model classifies single texts")
        corpus = LabelledTable(
            path=table.path,
            text_column=text_column,
            label_column=self.label_column(model.config) if table.label_column is None else table.label_column,
            known_labels=model.labels,
        )
        encoded = encode_documents(corpus.documents(), self.tokenizer_of(model), model.vocab)
        return self._evaluated(model, corpus, encoded)

    def _evaluated(self, model: SavedModel, corpus: LabelledCorpus, split: Split) -> EvaluatedSplit:
        settings = self.settings(model.config)
        data = settings.data
        collate = TextCollator(
            split.texts,
            split.labels,
            max_length=data.max_length,
            truncation=data.truncation,
            padding=settings.padding,
        )
        keys = split.truncated_lengths(data.max_length)
        loader = bucketed_loader(keys, collate, data.batch_size, max_tokens=data.max_tokens)
        return EvaluatedSplit(loader, len(split.labels), corpus.description)


def _ngram_classifier(settings: Ngrams, parts: ClassifierParts) -> NgramClassifier | None:
    if settings.max_n is None:
        return None
    return NgramClassifier(
        vocab_size=len(parts["vocab"]),
        num_classes=len(parts["labels"]),
        max_n=settings.max_n,
        buckets=settings.buckets,
    )


def _has_ppmi_vectors(settings: Embedding) -> bool:
    """Returns whether the embedding is initialised from the training texts, which pretrained vectors replace."""
    return settings.init == "ppmi" and settings.path is None


def _init_from_ppmi(network: TextClassifier, data: ClassificationData, settings: Embedding) -> None:
    """Initialises the embedding from the PPMI vectors of the training texts."""
    if not isinstance(network.embedding, LearnedEmbedding):
        raise UserError(
            f"embedding.init=ppmi needs a learned embedding: it cannot be combined with embedding={settings.kind}"
        )
    vectors = data.word_vectors(settings.size)
    if vectors.any():
        network.embedding.load_pretrained(vectors)
    else:
        log.warning("No two words co-occur in the training texts: the embedding is initialised randomly.")
