"""task=word2vec: word vectors by skip-gram or CBOW."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sluice.config.common import Embedding, Model, RecurrentDefaults
from sluice.config.schema import Config
from sluice.config.tasks.word2vec import WindowData as DataSettings
from sluice.config.tasks.word2vec import Word2Vec as Settings
from sluice.data.corpora.imdb import ReviewLines, resolve_imdb
from sluice.data.corpora.penn_treebank import resolve_ptb
from sluice.data.corpora.text_files import TextFiles
from sluice.data.corpora.wikitext import resolve_wikitext2
from sluice.data.corpus import RunningText
from sluice.data.published_vectors import VECTORS
from sluice.data.running_text import StreamSettings
from sluice.data.synthetic.reviews import SampleText
from sluice.distributed import num_devices, num_nodes
from sluice.errors import UserError
from sluice.inference.embeddings import Embeddings, word_embeddings
from sluice.models.word2vec import Word2Vec
from sluice.recipes.language import VocabularyParts
from sluice.recipes.task import TaskRecipe, where_published
from sluice.runs.data_checks import check_unchanged
from sluice.runs.evaluation import TEST_MONITOR, Evaluation, Request, run_test
from sluice.runs.saved_model import SavedModel
from sluice.text.vector_files import write_vectors

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

    from sluice.data.word2vec import WindowData
    from sluice.modules.word2vec import Word2VecModule

DEFAULT_CORPUS = "wikitext2"
TOKENIZERS = {"wikitext2": "whitespace", "ptb": "whitespace", "sample": "whitespace", "imdb": "basic_english"}
"""Default tokenizers of the named corpora; "words" for other texts."""
OPTIMIZER = "sluice.optim.row_adagrad.RowAdagrad"
PLAIN = {"accumulate_grad_batches": 1, "gradient_clip_val": None, "precision": "32-true"}
"""Settings of the trainer that have no effect on manual optimisation, with their only allowed value."""


class Word2VecRecipe(TaskRecipe[Settings, RunningText, "WindowData", "Word2VecModule", VocabularyParts]):
    """Word vectors by skip-gram or CBOW: Mikolov et al. (2013)."""

    settings_type = Settings
    kind = "word vectors"
    needs_core = False
    description = "contains word vectors"
    usage = "sluice embeddings {run} project --png words.png"

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> RunningText:
        _refuse_unused_settings(config)
        data = self.settings(config).data
        corpus = _corpus(data)
        if corpus is None:
            return TextFiles(
                path=Path(str(data.path)),
                validation_path=Path(data.validation_path) if data.validation_path else None,
                test_path=Path(data.test_path) if data.test_path else None,
                validation_fraction=data.validation_fraction,
                test_fraction=data.test_fraction,
                pattern=data.pattern,
            )
        if corpus == "sample":
            return SampleText(size=data.sample_size)
        where = where_published(config, data, may_fall_back)
        if corpus == "imdb":
            return ReviewLines(resolve_imdb(**where))
        return resolve_ptb(**where) if corpus == "ptb" else resolve_wikitext2(**where)

    def build_data(self, config: Config, corpus: RunningText) -> WindowData:
        from sluice.data.word2vec import WindowData, WindowSettings

        settings = self.settings(config)
        tokenizer = settings.text.tokenizer or TOKENIZERS.get(_corpus(settings.data) or "", "words")
        return WindowData(
            corpus=corpus,
            settings=StreamSettings(tokenizer, settings.text.min_freq, settings.text.max_size),
            windows=WindowSettings(settings.window, settings.subsampling, settings.data.across_lines),
            cache_dir=Path(config.paths.cache_dir),
            batch_size=settings.data.batch_size,
            seed=config.seed,
        )

    def saved_parts(self, data: WindowData) -> VocabularyParts:
        return {"vocab": data.prepared.vocab.tokens}

    def build_network(self, config: Config, parts: VocabularyParts) -> Word2Vec:
        settings = self.settings(config)
        return Word2Vec(
            vocab_size=len(parts["vocab"]),
            size=config.embedding.size,
            method=settings.method,
            negatives=settings.negatives,
            seed=config.seed,
        )

    def build_module(self, config: Config, data: WindowData) -> Word2VecModule:
        from sluice.modules.word2vec import Word2VecModule

        return Word2VecModule(network=self.new_network(config, data), **self.module_arguments(config, data))

    def module_for_test(self, model: SavedModel) -> Word2VecModule:
        from sluice.modules.word2vec import Word2VecModule

        return Word2VecModule(network=model.network, monitor=TEST_MONITOR)

    def callbacks(self, config: Config, data: WindowData) -> list[Callback]:
        from sluice.callbacks.training_monitor import PairThroughput

        return [PairThroughput()]

    def extra_metrics(self, config: Config, data: WindowData, module: Word2VecModule) -> dict[str, float]:
        from sluice.callbacks.training_monitor import PairThroughput

        callbacks: list[Callback] = module.trainer.callbacks  # type: ignore[attr-defined]
        (speed,) = (callback for callback in callbacks if isinstance(callback, PairThroughput))
        return {"train/pairs_per_second": speed.per_second}

    def write_artifacts(self, module: Word2VecModule, folder: Path) -> None:
        """Writes the vectors in the text format of word2vec."""
        learned = word_embeddings(module.saved_with["vocab"], module.network.vectors.detach().cpu().numpy())
        write_vectors(folder / VECTORS, learned.words, learned.vectors)

    def data_counts(self, data: WindowData) -> dict[str, dict[str, int]]:
        return {name: {"tokens": len(ids)} for name, ids in data.prepared.splits.items()}

    def data_summary(self, data: WindowData) -> list[str]:
        return [f"{len(data.prepared.vocab):,} words in the vocabulary"]

    def inference(self, model: SavedModel) -> Embeddings:
        return word_embeddings(list(model.parts["vocab"]), model.network.vectors.detach().numpy())

    def evaluate(self, model: SavedModel, request: Request) -> Evaluation:
        """Evaluates the loss per pair of words on a split of the task's text."""
        data = self.build_data(model.config, self.find_corpus(model.config, may_fall_back=False))
        check_unchanged(model, data.identity)
        source = data.corpus.description
        if data.prepared.vocab.tokens != model.vocab.tokens:
            raise UserError(f"the text in {source} is not the training text: restore the training text")
        loss = run_test(self.module_for_test(model), data.loader(request.split))["loss"]
        return Evaluation(
            f"{model.path} on the {request.split} split, from {source}",
            {"loss": loss},
            {"checkpoint": str(model.path), "from": source, "split": request.split},
            names={"loss": "loss per pair"},
        )


def _corpus(data: DataSettings) -> str | None:
    """Returns the name of the published or generated text; None for a user-supplied text.

    Raises:
        UserError: if both are given.
    """
    if data.corpus is not None and data.path is not None:
        raise UserError(f"task.data.corpus={data.corpus} and task.data.path={data.path} name two texts: leave one out")
    return data.corpus or (None if data.path is not None else DEFAULT_CORPUS)


def _refuse_unused_settings(config: Config) -> None:
    """Rejects settings that have no effect on this task.

    Raises:
        UserError: for the first such setting that was changed.
    """
    if config.model.cell != "none":
        raise UserError(
            f"task=word2vec has no recurrent core, model={config.model.name} cannot be used: leave model= out"
        )
    if config.optimizer.get("_target_") != OPTIMIZER:
        raise UserError(
            f"task=word2vec updates single rows: optimizer {config.optimizer.get('_target_')} cannot be used; leave "
            "optimizer= out"
        )
    if num_devices(config.trainer) * num_nodes(config.trainer) > 1:
        raise UserError(
            "task=word2vec trains in one process: set trainer.devices=1 and trainer.num_nodes=1; set OMP_NUM_THREADS "
            "for the number of threads"
        )
    unused_model = Model(name=config.model.name, cell="none", **vars(RecurrentDefaults()))
    unused_embedding = Embedding("learned", config.embedding.size, path=None, initial_std=0.1, word_dropout=0.0)
    own_trainer = {f"trainer.{key}": (config.trainer.get(key, value), value) for key, value in PLAIN.items()}
    for key, (given, expected) in {
        **_pairs("model", config.model, unused_model),
        **_pairs("embedding", config.embedding, unused_embedding),
        **own_trainer,
    }.items():
        if given != expected:
            raise UserError(f"{key}={given} has no effect on task=word2vec: leave it out")


def _pairs(group: str, given: object, expected: object) -> dict[str, tuple[object, object]]:
    return {f"{group}.{name}": (value, getattr(expected, name)) for name, value in vars(given).items()}
