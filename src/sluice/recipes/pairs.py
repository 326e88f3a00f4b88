"""Two texts in, a class out."""

from pathlib import Path
from typing import Any

from sluice.config.schema import Config
from sluice.data.pair_tables import PairTable
from sluice.data.synthetic.pairs_sample import PairsSample
from sluice.data.text_pair_data import TextPairData
from sluice.data.text_pairs import LetterSettings, PairCorpus
from sluice.errors import UserError
from sluice.layers.char_ngrams import CharNgramEmbedding
from sluice.models.pair_classifier import PairClassifier
from sluice.modules.pairs import PairTask
from sluice.recipes.base import batch_size_per_rank, check_monitors
from sluice.recipes.build import build_stack
from sluice.recipes.classification import Classification, class_weights


class PairFamily(Classification):
    """Generated product titles and one's own pairs."""

    tasks = ("pairs",)
    deed = "classifies pairs"
    use = 'sluice predict {run} "one text" "another text"'

    def find_corpus(self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None) -> Any:
        data = config.task.data
        if data.path is None:
            return PairsSample(size=data.size, val_size=data.val_size, test_size=data.test_size, seed=config.seed)
        return PairTable(
            path=Path(data.path),
            validation_path=Path(data.validation_path) if data.validation_path else None,
            test_path=Path(data.test_path) if data.test_path else None,
            first_column=data.first_column,
            second_column=data.second_column,
            label_column=data.label_column,
            known_labels=known,
        )

    def build_data(self, config: Config, corpus: PairCorpus) -> Any:  # type: ignore[override]
        data = config.task.data
        return TextPairData(
            corpus=corpus,
            settings=letter_settings(config),
            cache_dir=Path(config.paths.cache_dir),
            validation_share=data.validation_share,
            test_share=data.test_share,
            batch_size=batch_size_per_rank(config),
            max_length=data.max_length,
            truncation=data.truncation,
            num_workers=data.num_workers,
            seed=config.seed,
        )

    def build_network(self, config: Config, parts: dict[str, Any]) -> Any:
        settings = config.embedding
        if settings.kind != "learned":
            raise ValueError(
                f"task={config.task.name} makes a word's vector of its letters: it doesn't go with "
                f"embedding={settings.kind}, leave it out"
            )
        embedding = CharNgramEmbedding(
            buckets=config.task.text.buckets,
            size=settings.size,
            word_dropout=settings.word_dropout,
            initial_std=settings.initial_std,
        )
        return PairClassifier(
            embedding=embedding,
            recurrent=build_stack(config.model, input_size=settings.size),
            num_classes=len(parts["labels"]),
            size=config.task.comparison_size,
            input_dropout=config.model.input_dropout,
            output_dropout=config.task.output_dropout,
        )

    def saved_parts(self, data: TextPairData) -> dict[str, Any]:  # type: ignore[override]
        """No vocabulary: a word's letters are all there is to know."""
        return {"vocab": [], "labels": list(data.prepared.labels)}

    def build_task(self, config: Config, data: TextPairData) -> PairTask:  # type: ignore[override]
        if config.embedding.adversarial or config.embedding.start != "random":
            raise UserError("embedding.adversarial and embedding.start are for single texts: leave them out")
        prepared = data.prepared
        task = PairTask(
            network=self.network_for(config, data),
            labels=prepared.labels,
            label_smoothing=config.task.label_smoothing,
            class_weights=class_weights(config.task.class_weights, prepared.labels, prepared.splits["train"].labels),
            knows_deciding=data.corpus.knows_deciding,
            **self.shared_of_task(config, data),
        )
        check_monitors(config, task.validation_metrics)
        return task

    def prepare(self, config: Config, data: TextPairData) -> None:  # type: ignore[override]
        data.prepare_data()

    def describe(self, data: TextPairData) -> list[str]:  # type: ignore[override]
        prepared = data.prepared
        lines = [
            f"{name:<6}{len(split):>9,} pairs  {split.texts.lengths.sum():>12,} words"
            for name, split in prepared.splits.items()
        ]
        return [*lines, f"classes {', '.join(prepared.labels)}"]


PAIRS = PairFamily()


def letter_settings(config: Config) -> LetterSettings:
    """How the task's texts become words and letters."""
    text = config.task.text
    return LetterSettings(tokenizer=text.tokenizer, longest_ngram=text.longest_ngram, buckets=text.buckets)
