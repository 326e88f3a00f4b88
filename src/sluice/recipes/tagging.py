"""task=tagging: sequence labelling."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from sluice.config.schema import Config
from sluice.config.tasks.sequences import Tagging
from sluice.data.collate import SequenceCollator
from sluice.data.corpora.tagged_files import TagColumns, TaggedFiles
from sluice.data.corpus import SPLITS, TaggedCorpus, TaggedSentence
from sluice.data.sequence_parts import sequence_parts, stored_scheme
from sluice.data.synthetic.tagging import SampleTagging
from sluice.data.tagging import (
    TagSettings,
    assign_sentences,
    encode_tagged,
    prepare_tags,
    read_sentences,
    scheme_of,
    sentence_hashes,
)
from sluice.errors import UserError
from sluice.inference.tagger import Tagger
from sluice.plain import Plain
from sluice.program import LAUNCHED
from sluice.recipes.sequences import SequenceRecipe
from sluice.recipes.task import OWN_FILES, batch_size_per_rank
from sluice.runs.data_checks import rows_of_split
from sluice.runs.evaluation import Evaluation, Request, bucketed_loader, run_test
from sluice.runs.saved_model import SavedModel
from sluice.text.tokenizers import given_tokenizer, make_tokenizer

if TYPE_CHECKING:
    from sluice.data.task_sequences import SequenceTaskData, TaskData

log = logging.getLogger(__name__)


class TaggingRecipe(SequenceRecipe[Tagging, TaggedCorpus]):
    """Sequence labelling of generated sentences, or of the sentences of files."""

    description = "tags words"
    usage = 'sluice predict {run} "your sentence"'
    evaluates_files = True
    evaluation_settings = (*OWN_FILES, "data.word_column", "data.tag_column")
    settings_type = Tagging
    one_direction = False

    def tag_settings(self, settings: Tagging) -> TagSettings:
        """Returns the settings of the vocabulary and the splits."""
        data = settings.data
        return TagSettings(data.min_freq, data.max_size, data.validation_fraction, data.test_fraction)

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> TaggedCorpus:
        data = self.settings(config).data
        if data.path is None:
            return SampleTagging(seed=config.seed)
        return TaggedFiles(
            path=Path(data.path),
            validation_path=Path(data.validation_path) if data.validation_path else None,
            test_path=Path(data.test_path) if data.test_path else None,
            columns=TagColumns(data.word_column, data.tag_column),
            known_tags=known,
        )

    def build_data(self, config: Config, corpus: TaggedCorpus) -> SequenceTaskData:
        from sluice.data.task_sequences import SequenceTaskData

        settings = self.settings(config)
        prepared = prepare_tags(corpus, self.tag_settings(settings), Path(config.paths.cache_dir))
        parts = sequence_parts(vocab=prepared.vocab.tokens, tags=list(prepared.tags), outputs=len(prepared.tags))
        scheme = scheme_of(prepared, settings.data.scheme)
        if settings.data.scheme == "auto" and LAUNCHED not in os.environ:
            log.info("Tag scheme of the training sentences: %s", scheme)
        return SequenceTaskData(
            corpus=corpus,
            parts={**parts, "scheme": scheme},
            splits=prepared.splits.__getitem__,
            batch_size=batch_size_per_rank(config, settings.data.batch_size, settings.data.global_batch_size),
            seed=config.seed,
            identity=prepared.identity,
        )

    def data_counts(self, data: TaskData) -> dict[str, dict[str, int]]:
        from sluice.data.task_sequences import SequenceTaskData

        found = {}
        for name in SPLITS:
            _, targets = cast(SequenceTaskData, data).split(name)
            counts = {"sentences": len(targets), "words": len(targets.flat), "tags": len(np.unique(targets.flat))}
            found[name] = counts
        return found

    def data_summary(self, data: TaskData) -> list[str]:
        return [f"{len(data.parts['vocab']):,} words in the vocabulary, tags {', '.join(data.parts['tags'] or ())}"]

    def inference(self, model: SavedModel) -> Tagger:
        scheme = stored_scheme(self.parts_of(model.parts))
        return Tagger(
            network=model.network,
            vocab=model.vocab,
            tags=model.parts["tags"],
            scheme=scheme,
            tokenize=make_tokenizer(given_tokenizer("words", "whitespace", model.tokenized)),
        )

    def evaluate(self, model: SavedModel, request: Request) -> Evaluation:
        """Evaluates on a split of the task's sentences, or on a file with the columns of the training file."""
        settings, tags = self.settings(model.config), tuple(model.parts["tags"])
        details: Plain = {"checkpoint": str(model.path)}
        if request.table is None:
            corpus, on = self.find_corpus(model.config, may_fall_back=False, known=tags), f"the {request.split} split, "
            sentences, left_out = self._sentences_of_split(model, corpus, request.split)
            details |= {"split": request.split, "left_out": left_out}
        else:
            if request.table.text_columns or request.table.label_column is not None:
                raise UserError(
                    "--text-column and --label-column have no effect on a tagger: give --set data.word_column= or "
                    "--set data.tag_column=, or omit them"
                )
            columns = TagColumns(settings.data.word_column, settings.data.tag_column)
            corpus, on = TaggedFiles(path=request.table.path, columns=columns, known_tags=tags), ""
            with _settings_as_options():
                sentences = list(corpus.sentences("train"))
            details |= {"sentences": len(sentences), "from": corpus.description}
        encoded = encode_tagged(sentences, model.vocab, tags)
        loader = bucketed_loader(encoded.lengths, SequenceCollator(encoded), settings.data.batch_size)
        metrics = run_test(self.module_for_test(model), loader)
        return Evaluation(f"{model.path} on {on}{corpus.description}", metrics, details, digits=5)

    def _sentences_of_split(
        self, model: SavedModel, corpus: TaggedCorpus, split: str
    ) -> tuple[list[TaggedSentence], int]:
        """Returns the sentences of a split, and how many belong to no split."""
        sentences, given = read_sentences(corpus)
        settings = self.tag_settings(self.settings(model.config))
        hashes = sentence_hashes(sentences)
        rows, left_out = rows_of_split(model, split, given, hashes, lambda: assign_sentences(given, settings, None))
        return [sentences[row] for row in rows], left_out


@contextmanager
def _settings_as_options() -> Iterator[None]:
    """Names settings in error messages as `sluice evaluate` takes them."""
    try:
        yield
    except UserError as error:
        message = str(error).replace("set task.data.", "give --set data.").replace("task.data.", "--set data.")
        raise UserError(message) from error
