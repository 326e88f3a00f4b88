"""Word vectors from running text."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback

from sluice.callbacks.training_monitor import PairThroughput
from sluice.config.common import Embedding, Model, RecurrentDefaults
from sluice.config.schema import Config
from sluice.data.imdb import resolve_imdb
from sluice.data.penn_treebank import resolve_ptb
from sluice.data.review_lines import ReviewLines
from sluice.data.running_text import RunningText
from sluice.data.sample_text import SampleText
from sluice.data.streams import StreamSettings
from sluice.data.wikitext import resolve_wikitext2
from sluice.data.windows import WindowData, WindowSettings
from sluice.distributed import devices_wanted, nodes_wanted
from sluice.errors import UserError
from sluice.models.word2vec import Word2Vec
from sluice.modules.word2vec import Word2VecTask
from sluice.recipes.base import Family, check_monitors, may_use_sample
from sluice.recipes.build import VECTORS
from sluice.recipes.language import own_text
from sluice.text.tokenizers import END_OF_LINE
from sluice.text.vector_files import write_vectors
from sluice.text.vocab import SPECIALS

DEFAULT_CORPUS = "wikitext2"
TOKENIZERS = {"wikitext2": "whitespace", "ptb": "whitespace", "sample": "whitespace", "imdb": "basic_english"}
"""That suit the corpora; of one's own text it is "words"."""
OPTIMIZER = "sluice.optim.row_adagrad.RowAdagrad"
PLAIN = {"accumulate_grad_batches": 1, "gradient_clip_val": None, "precision": "32-true"}
"""Settings of the trainer that a network which steps by itself takes no notice of, at what it does."""


class Word2VecFamily(Family):
    """Skip-gram and CBOW."""

    tasks = ("word2vec",)
    deed = "gives words vectors"
    use = "sluice embeddings {run} project --png words.png"

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> RunningText:
        _refuse_what_would_be_ignored(config)
        data, corpus = config.task.data, _corpus(config)
        if corpus is None:
            return own_text(data)
        if corpus == "sample":
            return SampleText(size=data.sample_size)
        resolve: Any = {"wikitext2": resolve_wikitext2, "ptb": resolve_ptb, "imdb": resolve_imdb}[corpus]
        found = resolve(
            source=data.source,
            data_dir=Path(config.paths.data_dir),
            sample_size=data.sample_size,
            may_fall_back=may_use_sample(config, may_fall_back),
        )
        text: RunningText = ReviewLines(found) if corpus == "imdb" else found
        return text

    def build_data(self, config: Config, corpus: RunningText) -> WindowData:
        task = config.task
        tokenizer = task.text.tokenizer or TOKENIZERS.get(_corpus(config) or "", "words")
        return WindowData(
            corpus=corpus,
            settings=StreamSettings(tokenizer, task.text.min_freq, task.text.max_size),
            windows=WindowSettings(task.window, task.subsampling, task.data.across_lines),
            cache_dir=Path(config.paths.cache_dir),
            batch_size=task.data.batch_size,
            seed=config.seed,
        )

    def build_network(self, config: Config, parts: dict[str, Any]) -> Word2Vec:
        return Word2Vec(
            vocab_size=len(parts["vocab"]),
            size=config.embedding.size,
            method=config.task.method,
            negatives=config.task.negatives,
            seed=config.seed,
        )

    def saved_parts(self, data: WindowData) -> dict[str, Any]:
        return {"vocab": data.prepared.vocab.tokens}

    def build_task(self, config: Config, data: WindowData) -> Word2VecTask:
        task = Word2VecTask(network=self.network_for(config, data), **self.shared_of_task(config, data))
        check_monitors(config, task.validation_metrics)
        return task

    def callbacks(self, config: Config, data: WindowData) -> list[Callback]:
        return [PairThroughput()]

    def more_figures(self, config: Config, data: WindowData, task: Word2VecTask) -> dict[str, float]:
        (speed,) = (callback for callback in task.trainer.callbacks if isinstance(callback, PairThroughput))  # type: ignore[attr-defined]
        return {"train/pairs_per_second": speed.per_second}

    def keep(self, task: Word2VecTask, folder: Path) -> None:
        write_vectors(folder / VECTORS, *learned_vectors(task.network, task.saved_with["vocab"]))

    def describe(self, data: WindowData) -> list[str]:
        lines = [f"{name:<6}{len(ids):>12,} tokens" for name, ids in data.prepared.splits.items()]
        return [*lines, f"{len(data.prepared.vocab):,} words in the vocabulary"]


WORD2VEC = Word2VecFamily()


def learned_vectors(network: Word2Vec, vocab: list[str]) -> tuple[list[str], NDArray[np.float32]]:
    """The words that vectors were learned of, and these (N, D)."""
    places = [place for place, word in enumerate(vocab) if word not in (*SPECIALS, END_OF_LINE)]
    return [vocab[place] for place in places], network.vectors.detach().cpu().numpy()[places]


def _corpus(config: Config) -> str | None:
    """The name of the published or generated text; None for one's own.

    Raises:
        UserError: if both are named.
    """
    corpus, path = config.task.data.corpus, config.task.data.path
    if corpus is not None and path is not None:
        raise UserError(f"task.data.corpus={corpus} and task.data.path={path} name two texts: leave one out")
    return corpus or (None if path is not None else DEFAULT_CORPUS)


def _refuse_what_would_be_ignored(config: Config) -> None:
    """
    Raises:
        UserError: for the first setting that this task takes no notice of and that was changed.
    """
    if config.model.cell != "none":
        raise UserError(
            f"task=word2vec has no recurrent core, model={config.model.name} cannot be used: leave model= out"
        )
    if config.optimizer.get("_target_") != OPTIMIZER:
        raise UserError(
            f"task=word2vec steps the rows of a batch's words, optimizer {config.optimizer.get('_target_')} cannot be "
            "used: leave optimizer= out"
        )
    if devices_wanted(config.trainer) * nodes_wanted(config.trainer) > 1:
        raise UserError(
            "task=word2vec trains in one process: set trainer.devices=1 and trainer.num_nodes=1; OMP_NUM_THREADS says "
            "how many threads it takes"
        )
    idle_model = Model(name=config.model.name, cell="none", **vars(RecurrentDefaults()))
    idle_embedding = Embedding("learned", config.embedding.size, path=None, initial_std=0.1, word_dropout=0.0)
    own_trainer = {f"trainer.{key}": (config.trainer.get(key, value), value) for key, value in PLAIN.items()}
    for key, (given, expected) in {
        **_pairs("model", config.model, idle_model),
        **_pairs("embedding", config.embedding, idle_embedding),
        **own_trainer,
    }.items():
        if given != expected:
            raise UserError(f"{key}={given} changes nothing of task=word2vec: leave it out")


def _pairs(group: str, given: Any, expected: Any) -> dict[str, tuple[Any, Any]]:
    return {f"{group}.{name}": (value, getattr(expected, name)) for name, value in vars(given).items()}
