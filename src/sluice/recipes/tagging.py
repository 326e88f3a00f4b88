"""task=tagging: sequence labelling."""

from pathlib import Path

from sluice.config.schema import Config
from sluice.config.tasks.sequences import Tagging
from sluice.data.collate import SequenceCollator
from sluice.data.corpora.tagged_files import TagColumns, TaggedFiles
from sluice.data.corpus import TaggedCorpus
from sluice.data.synthetic.tagging import SampleTagging
from sluice.data.tagging import (
    TagSettings,
    assign_sentences,
    encode_tagged,
    prepare_tags,
    read_sentences,
    sentence_hashes,
)
from sluice.recipes.data_checks import rows_of_split
from sluice.recipes.evaluation import EVALUATION_FACTOR, Evaluation, Request, bucketed_loader, run_test
from sluice.recipes.sequences import SequenceRecipe, SequenceTaskData, TaskData, sequence_parts
from sluice.recipes.task import batch_size_per_rank
from sluice.runs.saved_model import SavedModel


class TaggingRecipe(SequenceRecipe[Tagging, TaggedCorpus]):
    """Sequence labelling of generated sentences, or of sentences in two-column files."""

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
        settings = self.settings(config)
        prepared = prepare_tags(corpus, self.tag_settings(settings), Path(config.paths.cache_dir))
        return SequenceTaskData(
            corpus=corpus,
            parts=sequence_parts(vocab=prepared.vocab.tokens, tags=list(prepared.tags), outputs=len(prepared.tags)),
            splits=prepared.splits.__getitem__,
            batch_size=batch_size_per_rank(config, settings.data.batch_size, settings.data.global_batch_size),
            seed=config.seed,
            identity=prepared.identity,
        )

    def data_summary(self, data: TaskData) -> list[str]:
        return ["generated at the start of training" if data.corpus.name == "generated" else "sentences with tags"]

    def evaluate(self, model: SavedModel, request: Request) -> Evaluation:
        """Evaluates on a split of the task's sentences."""
        settings, tags = self.settings(model.config), tuple(model.parts["tags"])
        corpus = self.find_corpus(model.config, may_fall_back=False, known=tags)
        sentences, given = read_sentences(corpus)
        rows, left_out = rows_of_split(
            model,
            request.split,
            given,
            sentence_hashes(sentences),
            lambda: assign_sentences(given, self.tag_settings(settings), None),
        )
        encoded = encode_tagged([sentences[row] for row in rows], model.vocab, tags)
        batch_size = EVALUATION_FACTOR * settings.data.batch_size
        loader = bucketed_loader(encoded.lengths, SequenceCollator(encoded), batch_size)
        return Evaluation(
            f"{model.path} on the {request.split} split, {corpus.description}",
            run_test(self.module_for_test(model), loader),
            {"checkpoint": str(model.path), "split": request.split, "left_out": left_out},
            digits=5,
        )
