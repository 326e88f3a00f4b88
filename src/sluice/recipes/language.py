"""Base recipe of language modelling."""

from __future__ import annotations

import logging
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

from torch import nn

from sluice.config.schema import Config
from sluice.config.tasks.language import LanguageModelling
from sluice.data.corpus import RunningText
from sluice.data.running_text import StreamSettings
from sluice.errors import UserError
from sluice.inference.language_model import LanguageModel
from sluice.inference.lm_evaluation import LMEvaluator, TextLoss
from sluice.inference.neural_cache import NeuralCache
from sluice.layers.embedding import Embedding, LearnedEmbedding
from sluice.layers.heads import make_head
from sluice.models.language import LanguageModel as LanguageModelNetwork
from sluice.models.language import require_one_direction
from sluice.options import EVALUATION_METHODS
from sluice.recipes.build import build_embedding, build_stack
from sluice.recipes.task import OWN_FILES, TaskRecipe, batch_size_per_rank, refuse_embedding_options
from sluice.runs.data_checks import check_unchanged
from sluice.runs.evaluation import TEST_MONITOR, Evaluation, Request
from sluice.runs.saved_model import SavedModel
from sluice.text.language_text import LanguageText
from sluice.text.tokenizers import END_OF_LINE
from sluice.text.vocab import PADDING_ID, SPECIALS

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

    from sluice.data.language_modeling import LanguageData
    from sluice.modules.language import LanguageModelModule

log = logging.getLogger(__name__)

MAX_EXAMPLE_WORDS = 100_000
FEW_STREAMS = 10

Settings = TypeVar("Settings", bound=LanguageModelling)


class VocabularyParts(TypedDict):
    """Checkpoint contents of a language model besides the weights."""

    vocab: list[str]


class LanguageModelRecipe(TaskRecipe[Settings, RunningText, "LanguageData", "LanguageModelModule", VocabularyParts]):
    """Autoregressive language modelling."""

    kind = "language modelling"
    description = "generates text"
    usage = 'sluice generate {run} --prompt "the"'
    knows_metrics = True
    files_hint = ": use sluice score"
    evaluation_methods = EVALUATION_METHODS
    evaluation_settings = (
        *("cache.", "dynamic.", "data.val_streams", "data.test_streams", "data.chunk_length"),
        *OWN_FILES,
    )

    @abstractmethod
    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> RunningText: ...

    def text_settings(self, settings: Settings) -> StreamSettings:
        """Returns the settings of tokenisation and vocabulary."""
        text = settings.text
        tokenizer = "chars" if text.unit == "chars" else text.tokenizer
        return StreamSettings(tokenizer=tokenizer, min_freq=text.min_freq, max_size=text.max_size)

    def build_data(self, config: Config, corpus: RunningText) -> LanguageData:
        from sluice.data.language_modeling import LanguageData

        settings = self.settings(config)
        data = settings.data
        return LanguageData(
            corpus=corpus,
            settings=self.text_settings(settings),
            cache_dir=Path(config.paths.cache_dir),
            batch_size=batch_size_per_rank(config, data.batch_size, data.global_batch_size),
            chunk_length=data.chunk_length,
            variable_chunks=data.variable_chunks,
            val_streams=data.val_streams,
            test_streams=data.test_streams,
            seed=config.seed,
        )

    def saved_parts(self, data: LanguageData) -> VocabularyParts:
        return {"vocab": data.prepared.vocab.tokens}

    def example_parts(self, config: Config) -> VocabularyParts:
        """A vocabulary that has a word in each cluster of the adaptive softmax."""
        size = max(self.settings(config).cutoffs, default=0) + len(SPECIALS) + 1
        return {"vocab": [*SPECIALS, *("a" for _ in range(min(size, MAX_EXAMPLE_WORDS)))]}

    def check(self, config: Config) -> None:
        refuse_embedding_options(config)
        super().check(config)

    def build_network(self, config: Config, parts: VocabularyParts) -> LanguageModelNetwork:
        settings, vocab_size = self.settings(config), len(parts["vocab"])
        embedding = build_embedding(config, vocab_size)
        recurrent = build_stack(config.model, input_size=embedding.output_size, one_hot=embedding.one_hot)
        require_one_direction(recurrent)  # before the check of its size
        table = _tied_table(embedding, config.embedding.kind) if settings.tie_weights == "output" else None
        size = config.embedding.size if settings.projection else recurrent.output_size
        cutoffs = _cutoffs(settings, vocab_size)
        head = make_head(
            "full" if settings.head == "adaptive" and not cutoffs else settings.head,
            input_size=size,
            vocab_size=vocab_size,
            table=table,
            cutoffs=cutoffs,
            excluded=(PADDING_ID,),
        )
        return LanguageModelNetwork(
            embedding=embedding,
            recurrent=recurrent,
            head=head,
            projection=nn.Linear(recurrent.output_size, size) if settings.projection else None,
            input_dropout=config.model.input_dropout,
            output_dropout=settings.output_dropout,
        )

    def build_module(self, config: Config, data: LanguageData) -> LanguageModelModule:
        from sluice.modules.language import LanguageModelModule

        settings = self.settings(config)
        for split in ("val", "test"):
            check_streams(settings, data, split)
        if settings.head == "adaptive" and not _cutoffs(settings, len(data.prepared.vocab)):
            log.info(
                "The vocabulary has %d words, fewer than task.cutoffs: using task.head=full.", len(data.prepared.vocab)
            )
        return LanguageModelModule(
            network=self.new_network(config, data),
            chunk_length=data.chunk_length,
            activation_regularisation=settings.activation_regularisation,
            temporal_regularisation=settings.temporal_regularisation,
            character_level=settings.text.unit == "chars",
            **self.module_arguments(config, data),
        )

    def module_for_test(self, model: SavedModel) -> LanguageModelModule:
        from sluice.modules.language import LanguageModelModule

        chunk_length = self.settings(model.config).data.chunk_length
        return LanguageModelModule(network=model.network, chunk_length=chunk_length, monitor=TEST_MONITOR)

    def callbacks(self, config: Config, data: LanguageData) -> list[Callback]:
        from sluice.callbacks.generated_text import GeneratedText

        settings = self.settings(config)
        text = LanguageText(data.prepared.vocab, data.settings.tokenizer)
        return [GeneratedText(text=text, prompt=settings.sample_prompt, tokens=settings.sample_tokens)]

    def extra_metrics(self, config: Config, data: LanguageData, module: LanguageModelModule) -> dict[str, float]:
        """Computes the test perplexity in the other modes of task.eval_modes."""
        settings = self.settings(config)
        wanted = [method for method in settings.eval_modes if method != "plain"]
        costs = {method: _measure(settings, module.network, data, "test", method) for method in wanted}
        return {f"test/{method}_perplexity": cost.perplexity for method, cost in costs.items()}

    def data_counts(self, data: LanguageData) -> dict[str, dict[str, int]]:
        return {name: {"tokens": len(ids)} for name, ids in data.prepared.splits.items()}

    def data_summary(self, data: LanguageData) -> list[str]:
        return [f"{len(data.prepared.vocab) - 1:,} words in the vocabulary"]  # <pad> is not a word

    def inference(self, model: SavedModel) -> LanguageModel:
        settings = self.settings(model.config)
        return LanguageModel(
            network=model.network,
            vocab=model.vocab,
            tokenizer=self.text_settings(settings).tokenizer,
            chunk_length=settings.data.chunk_length,
            tokenized=model.tokenized,
        )

    def evaluate(self, model: SavedModel, request: Request) -> Evaluation:
        """Evaluates the perplexity of a split of the task's text."""
        data = self.build_data(model.config, self.find_corpus(model.config, may_fall_back=False))
        check_unchanged(model, data.identity, instead=", or measure another text with sluice score")
        if data.prepared.vocab.tokens != model.vocab.tokens:
            raise UserError(f"the text in {data.corpus.description} is not the training text: use sluice score")
        cost = _measure(self.settings(model.config), model.network, data, request.split, request.method)
        source = data.corpus.description
        return Evaluation(
            f"{model.path} on the {request.split} split, {cost.tokens:,} tokens, from {source}",
            {"perplexity": cost.perplexity},
            {
                **{"checkpoint": str(model.path), "from": source, "split": request.split, "method": request.method},
                **{"loss": cost.loss, "tokens": cost.tokens},
            },
            digits=2,
            names={"perplexity": f"{request.method} perplexity"},
        )


def check_streams(settings: LanguageModelling, data: LanguageData, split: str) -> int:
    """Returns the number of streams in which a split is evaluated.

    Args:
        settings: settings of the task.
        data: the DataModule.
        split: "val" or "test".

    Raises:
        UserError: if there are more streams than tokens; a few, as by default, are reduced instead.
    """
    streams = settings.data.test_streams if split == "test" else settings.data.val_streams
    tokens = len(data.prepared.splits[split])
    if streams > max(tokens, FEW_STREAMS):
        raise UserError(f"task.data.{split}_streams={streams} cannot be used: the {split} text has {tokens} tokens")
    return streams


def _measure(
    settings: LanguageModelling, network: LanguageModelNetwork, data: LanguageData, split: str, method: str
) -> TextLoss:
    """Evaluates Σ −log p of a split in the mode "plain", "cache" or "dynamic"."""
    splits = data.prepared.splits
    streams = settings.data.val_streams if split == "train" else check_streams(settings, data, split)
    length = settings.dynamic.chunk_length if method == "dynamic" else settings.data.chunk_length
    end_id = data.prepared.vocab.encode([END_OF_LINE])[0]
    evaluator = LMEvaluator(network, end_id=end_id, streams=streams, chunk_length=length)
    if method == "cache":
        return evaluator.evaluate_with_cache(splits[split], NeuralCache(**vars(settings.cache)))
    if method == "plain":
        return evaluator.evaluate(splits[split])
    options = {name: value for name, value in vars(settings.dynamic).items() if name != "chunk_length"}
    return evaluator.evaluate_dynamic(splits[split], training_text=splits["train"], **options)


def _cutoffs(settings: LanguageModelling, vocab_size: int) -> list[int]:
    """Returns the cutoffs below the size of the vocabulary."""
    return [cutoff for cutoff in settings.cutoffs if cutoff < vocab_size]


def _tied_table(embedding: Embedding, kind: str) -> nn.Parameter:
    """Returns the weights of the embedding, which the output layer uses too."""
    if not isinstance(embedding, LearnedEmbedding):
        raise UserError(f"task.tie_weights=output needs a learned embedding: set it to none with embedding={kind}")
    table: nn.Parameter = embedding.table.weight  # type: ignore[assignment]
    return table
