"""task=pairs: classification of pairs of texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sluice.config.schema import Config
from sluice.config.tasks.pairs import Pairs
from sluice.data.collate import TextPairCollator
from sluice.data.corpora.tables import PairTable
from sluice.data.corpus import PairCorpus, TextPair
from sluice.data.identity import Hashes
from sluice.data.pair_encoding import CharNgramSettings, encode_text_pairs, new_table, word_ngrams
from sluice.data.splits import assign_splits
from sluice.data.synthetic.text_pairs import SamplePairs
from sluice.errors import UserError
from sluice.inference.pair_classifier import PairClassifier
from sluice.layers.char_ngrams import CharNgramEmbedding
from sluice.models.pair_classifier import PairClassifier as PairNetwork
from sluice.recipes.build import build_stack
from sluice.recipes.labelled import ClassifierParts, LabelRecipe, fold_for_test, tokenization
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

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

    from sluice.data.text_pairs import TextPairData
    from sluice.modules.pairs import PairModule


class PairsRecipe(LabelRecipe[Pairs, PairCorpus, "TextPairData", "PairModule"]):
    """Classification of pairs of generated product titles, or of pairs of texts from a file."""

    settings_type = Pairs
    kind = "classification of pairs"
    items = "pairs"
    description = "classifies pairs of texts"
    usage = 'sluice predict {run} "one text" "another text"'
    evaluates_files = True

    def text_columns(self, config: Config) -> tuple[str, ...]:
        data = self.settings(config).data
        return data.first_column, data.second_column

    def ngram_settings(self, settings: Pairs) -> CharNgramSettings:
        """Returns the settings of tokenisation and character n-grams."""
        text = settings.text
        return CharNgramSettings(tokens=tokenization(text), max_ngram=text.max_ngram, buckets=text.buckets)

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> PairCorpus:
        data = self.settings(config).data
        if data.path is None:
            return SamplePairs(size=data.size, val_size=data.val_size, test_size=data.test_size, seed=config.seed)
        return PairTable(
            path=Path(data.path),
            validation_path=Path(data.validation_path) if data.validation_path else None,
            test_path=Path(data.test_path) if data.test_path else None,
            first_column=data.first_column,
            second_column=data.second_column,
            label_column=data.label_column,
            known_labels=known,
            fold=fold_for_test(data, known),
        )

    def build_data(self, config: Config, corpus: PairCorpus) -> TextPairData:
        from sluice.data.text_pairs import TextPairData

        settings = self.settings(config)
        data = settings.data
        return TextPairData(
            corpus=corpus,
            settings=self.ngram_settings(settings),
            cache_dir=Path(config.paths.cache_dir),
            validation_fraction=data.validation_fraction,
            test_fraction=data.test_fraction,
            batch_size=batch_size_per_rank(config, data.batch_size, data.global_batch_size),
            max_length=data.max_length,
            truncation=data.truncation,
            num_workers=data.num_workers,
            seed=config.seed,
        )

    def saved_parts(self, data: TextPairData) -> ClassifierParts:
        """Returns the labels; the vocabulary is empty, since words are represented by character n-grams."""
        prepared = data.prepared
        return {"vocab": [], "labels": list(prepared.labels), "subword_model": prepared.subword_model}

    def example_parts(self, config: Config) -> ClassifierParts:
        return {"vocab": [], "labels": ["a", "b"], "subword_model": None}

    def check(self, config: Config) -> None:
        if config.embedding.adversarial_epsilon or config.embedding.init != "random":
            raise UserError("embedding.adversarial_epsilon and embedding.init are for single texts: leave them out")
        super().check(config)

    def build_network(self, config: Config, parts: ClassifierParts) -> PairNetwork:
        settings, embedded = self.settings(config), config.embedding
        if embedded.kind != "learned":
            raise ValueError(
                f"task={settings.name} represents words by character n-grams: it cannot be combined with "
                f"embedding={embedded.kind}"
            )
        embedding = CharNgramEmbedding(
            buckets=settings.text.buckets,
            size=embedded.size,
            word_dropout=embedded.word_dropout,
            initial_std=embedded.initial_std,
        )
        return PairNetwork(
            embedding=embedding,
            recurrent=build_stack(config.model, input_size=embedded.size),
            num_classes=len(parts["labels"]),
            size=settings.comparison_size,
            input_dropout=config.model.input_dropout,
            output_dropout=settings.output_dropout,
        )

    def build_module(self, config: Config, data: TextPairData) -> PairModule:
        from sluice.modules.class_weights import class_weights
        from sluice.modules.pairs import PairModule

        prepared, settings = data.prepared, self.settings(config)
        return PairModule(
            network=self.new_network(config, data),
            labels=prepared.labels,
            label_smoothing=settings.label_smoothing,
            class_weights=class_weights(settings.class_weights, prepared.labels, prepared.splits["train"].labels),
            has_deciding_words=data.corpus.has_deciding_words,
            **self.module_arguments(config, data),
        )

    def module_for_test(self, model: SavedModel) -> PairModule:
        return self._module(model, has_deciding_words=self.settings(model.config).data.path is None)

    def _module(self, model: SavedModel, *, has_deciding_words: bool) -> PairModule:
        from sluice.modules.pairs import PairModule

        return PairModule(
            network=model.network, labels=model.labels, has_deciding_words=has_deciding_words, monitor=TEST_MONITOR
        )

    def callbacks(self, config: Config, data: TextPairData) -> list[Callback]:
        return []

    def data_summary(self, data: TextPairData) -> list[str]:
        return [f"classes {', '.join(data.prepared.labels)}"]

    def inference(self, model: SavedModel) -> PairClassifier:
        settings = self.settings(model.config)
        return PairClassifier(
            network=model.network,
            labels=model.labels,
            tokenize=self.tokenizer_of(model),
            settings=self.ngram_settings(settings),
            max_length=settings.data.max_length,
            truncation=settings.data.truncation,
        )

    def examples(self, model: SavedModel, request: Request) -> tuple[PairModule, EvaluatedSplit]:
        if request.table is None:
            return self.module_for_test(model), self._pairs_of_split(model, request.split)
        return self._module(model, has_deciding_words=False), self._pairs_of_table(model, request.table)

    def _pairs_of_split(self, model: SavedModel, split: str) -> EvaluatedSplit:
        from sluice.data.text_pairs import pair_hashes, read_pairs

        corpus = self.find_corpus(model.config, may_fall_back=False, known=model.labels)
        pairs, given = read_pairs(corpus)
        own = self.settings(model.config)
        data = own.data
        fractions = {"test": data.test_fraction, "val": data.validation_fraction}
        labels = np.asarray([pair.label for pair in pairs], dtype=np.int64)

        def assigned(texts: Hashes | None = None) -> dict[str, np.ndarray]:
            return assign_splits(given, labels=labels, names=model.labels, fractions=fractions, texts=texts)

        hashes = pair_hashes(pairs)
        rows, left_out = rows_of_split(model, split, given, hashes, assigned)
        chosen = self._evaluated(model, corpus, [pairs[row] for row in rows])
        return chosen._replace(left_out=left_out, hashes=hashes[rows])

    def _pairs_of_table(self, model: SavedModel, table: Table) -> EvaluatedSplit:
        columns = table.text_columns or self.text_columns(model.config)
        if len(columns) != 2:
            raise UserError(f"--text-column names {len(columns)} column(s): this model compares two texts")
        corpus = PairTable(
            path=table.path,
            first_column=columns[0],
            second_column=columns[1],
            label_column=self.label_column(model.config) if table.label_column is None else table.label_column,
            known_labels=model.labels,
        )
        return self._evaluated(model, corpus, list(corpus.pairs("train")))

    def _evaluated(self, model: SavedModel, corpus: PairCorpus, pairs: list[TextPair]) -> EvaluatedSplit:
        own = self.settings(model.config)
        settings, data, words = self.ngram_settings(own), own.data, new_table()
        encoded = encode_text_pairs(pairs, self.tokenizer_of(model), words)
        collate = TextPairCollator(
            encoded,
            word_ngrams(list(words), settings),
            max_length=data.max_length,
            truncation=data.truncation,
            with_deciding=corpus.has_deciding_words,
        )
        keys = encoded.truncated_lengths(data.max_length)
        loader = bucketed_loader(keys, collate, data.batch_size)
        return EvaluatedSplit(loader, len(pairs), corpus.description)
