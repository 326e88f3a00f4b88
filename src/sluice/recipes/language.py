"""Word-level language modelling: the next word from all words before it."""

import logging
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback
from torch import nn

from sluice.callbacks.generated_text import GeneratedText
from sluice.config.schema import Config
from sluice.config.tasks.language import OwnCorpus, PennTreebank
from sluice.data.language import LanguageData
from sluice.data.own_text import OwnText
from sluice.data.penn_treebank import resolve_ptb
from sluice.data.running_text import RunningText
from sluice.data.streams import StreamSettings
from sluice.data.wikitext import resolve_wikitext2
from sluice.errors import UserError
from sluice.inference.lm_evaluation import Cost, Reader
from sluice.inference.neural_cache import NeuralCache
from sluice.layers.embedding import Embedding, LearnedEmbedding
from sluice.layers.heads import make_head
from sluice.models.language import LanguageModel, require_one_direction
from sluice.modules.language import LanguageTask
from sluice.recipes.base import OWN_FILES, Family, batch_size_per_rank, check_monitors, may_use_sample
from sluice.recipes.build import build_embedding, build_stack
from sluice.text.language_text import LanguageText
from sluice.text.tokenizers import END_OF_LINE

log = logging.getLogger(__name__)


class Language(Family):
    """WikiText-2, the Penn Treebank and one's own text."""

    tasks = ("wikitext2", "ptb", "corpus")
    deed = "writes"
    evaluated_with = (
        *("cache.", "dynamic.", "data.evaluation_streams", "data.test_streams", "data.chunk_length"),
        *OWN_FILES,
    )
    use = 'sluice generate {run} --prompt "the"'

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> RunningText:
        data = config.task.data
        if isinstance(config.task, OwnCorpus):
            return own_text(data)
        resolve = resolve_ptb if isinstance(config.task, PennTreebank) else resolve_wikitext2
        return resolve(
            source=data.source,
            data_dir=Path(config.paths.data_dir),
            sample_size=data.sample_size,
            may_fall_back=may_use_sample(config, may_fall_back),
        )

    def build_data(self, config: Config, corpus: RunningText) -> LanguageData:
        data = config.task.data
        return LanguageData(
            corpus=corpus,
            settings=stream_settings(config),
            cache_dir=Path(config.paths.cache_dir),
            batch_size=batch_size_per_rank(config),
            chunk_length=data.chunk_length,
            variable_chunks=data.variable_chunks,
            evaluation_streams=data.evaluation_streams,
            test_streams=data.test_streams,
            seed=config.seed,
        )

    def build_network(self, config: Config, parts: dict[str, Any]) -> LanguageModel:
        task, vocab_size = config.task, len(parts["vocab"])
        embedding = build_embedding(config, vocab_size)
        recurrent = build_stack(config.model, input_size=embedding.output_size, one_hot=embedding.one_hot)
        require_one_direction(recurrent)  # before its size is found wrong
        if task.tied and not isinstance(embedding, LearnedEmbedding):
            raise UserError(
                f"task.tied=true needs learned vectors: with embedding={config.embedding.kind} set it to false"
            )
        size = config.embedding.size if task.projection else recurrent.output_size
        head = make_head(
            "full" if task.head == "adaptive" and not _cutoffs(config, vocab_size) else task.head,
            input_size=size,
            vocab_size=vocab_size,
            table=_tied_table(embedding, config.embedding.kind) if task.tied else None,
            cutoffs=_cutoffs(config, vocab_size),
        )
        return LanguageModel(
            embedding=embedding,
            recurrent=recurrent,
            head=head,
            projection=nn.Linear(recurrent.output_size, size) if task.projection else None,
            input_dropout=config.model.input_dropout,
            output_dropout=task.output_dropout,
        )

    def saved_parts(self, data: LanguageData) -> dict[str, Any]:
        return {"vocab": data.prepared.vocab.tokens}

    def build_task(self, config: Config, data: LanguageData) -> LanguageTask:
        settings = config.task
        if config.embedding.adversarial or config.embedding.start != "random":
            raise UserError("embedding.adversarial and embedding.start are for tasks that classify: leave them out")
        if settings.head == "adaptive" and not _cutoffs(config, len(data.prepared.vocab)):
            log.info("The vocabulary has %d words, fewer than task.cutoffs: head=full.", len(data.prepared.vocab))
        task = LanguageTask(
            network=self.network_for(config, data),
            tokens_per_batch=data.batch_size * data.chunk_length,
            activation_regularisation=settings.activation_regularisation,
            temporal_regularisation=settings.temporal_regularisation,
            letters=settings.text.unit == "chars",
            **self.shared_of_task(config, data),
        )
        check_monitors(config, task.validation_metrics)
        return task

    def callbacks(self, config: Config, data: LanguageData) -> list[Callback]:
        text = LanguageText(data.prepared.vocab, data.settings.tokenizer)
        return [GeneratedText(text=text, prompt=config.task.sample_prompt, tokens=config.task.sample_tokens)]

    def more_figures(self, config: Config, data: LanguageData, task: LanguageTask) -> dict[str, float]:
        wanted = [method for method in config.task.test_methods if method != "plain"]
        costs = {method: measure(config, task.network, data, "test", method) for method in wanted}
        return {f"test/{method}_perplexity": cost.perplexity for method, cost in costs.items()}

    def describe(self, data: LanguageData) -> list[str]:
        lines = [f"{name:<6}{len(ids):>12,} tokens" for name, ids in data.prepared.splits.items()]
        return [*lines, f"{len(data.prepared.vocab):,} words in the vocabulary"]


LANGUAGE = Language()


def stream_settings(config: Config) -> StreamSettings:
    """How the task's text becomes ids."""
    text = config.task.text
    tokenizer = "chars" if text.unit == "chars" else text.tokenizer
    return StreamSettings(tokenizer=tokenizer, min_freq=text.min_freq, max_size=text.max_size)


def measure(config: Config, network: LanguageModel, data: LanguageData, split: str, method: str) -> Cost:
    """What a split of the task's text costs, read by a method: "plain", "cache" or "dynamic"."""
    settings, splits = config.task, data.prepared.splits
    streams = settings.data.test_streams if split == "test" else settings.data.evaluation_streams
    length = settings.dynamic.chunk_length if method == "dynamic" else settings.data.chunk_length
    end_id = data.prepared.vocab.encode([END_OF_LINE])[0]
    reader = Reader(network, end_id=end_id, streams=streams, chunk_length=length)
    if method == "cache":
        return reader.cost_with_cache(splits[split], NeuralCache(**vars(settings.cache)))
    if method == "plain":
        return reader.cost(splits[split])
    options = {name: value for name, value in vars(settings.dynamic).items() if name != "chunk_length"}
    return reader.cost_with_dynamic(splits[split], training_text=splits["train"], **options)


def own_text(data: Any) -> OwnText:
    """The files that a task's data settings name."""
    return OwnText(
        path=Path(data.path),
        validation_path=Path(data.validation_path) if data.validation_path else None,
        test_path=Path(data.test_path) if data.test_path else None,
        validation_share=data.validation_share,
        test_share=data.test_share,
        pattern=data.pattern,
    )


def _cutoffs(config: Config, vocab_size: int) -> list[int]:
    """Those within the vocabulary."""
    return [cutoff for cutoff in config.task.cutoffs if cutoff < vocab_size]


def _tied_table(embedding: Embedding, kind: str) -> nn.Parameter:
    """The weights that the output layer shares."""
    if not isinstance(embedding, LearnedEmbedding):
        raise UserError(f"task.tied=true needs learned vectors: with embedding={kind} set it to false")
    table: Any = embedding.table.weight
    return table
