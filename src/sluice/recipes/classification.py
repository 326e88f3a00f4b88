"""Many-to-one: texts in, classes out."""

import logging
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback

from sluice.callbacks.misclassified import Misclassified
from sluice.config.schema import Config, Embedding, Reviews
from sluice.config.tasks.sequences import TemporalOrder
from sluice.data.classification import ClassificationData
from sluice.data.imdb import resolve_imdb
from sluice.data.sources import LabelledCorpus
from sluice.data.synthetic.temporal_order import TemporalOrder as SymbolsInOrder
from sluice.data.tables import LabelledTable
from sluice.data.tokenizing import TextSettings
from sluice.errors import UserError
from sluice.layers.embedding import LearnedEmbedding
from sluice.models.classifier import TextClassifier
from sluice.modules.classification import ClassificationTask
from sluice.recipes.base import Family, batch_size_per_rank, check_monitors, may_use_sample
from sluice.recipes.build import build_embedding, build_stack
from sluice.runs.report import show_confusion
from sluice.runs.results import write_confusion

log = logging.getLogger(__name__)

MOST_CLASSES_SHOWN = 12


class Classification(Family):
    """IMDB and one's own labelled texts."""

    tasks: tuple[str, ...] = ("imdb", "reviews", "temporal_order")
    deed = "classifies"
    use = 'sluice predict {run} "your text"'

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> LabelledCorpus:
        data = config.task.data
        if isinstance(config.task, Reviews):
            return LabelledTable(
                path=Path(data.path),
                validation_path=Path(data.validation_path) if data.validation_path else None,
                test_path=Path(data.test_path) if data.test_path else None,
                text_column=data.text_column,
                label_column=data.label_column,
                known_labels=known,
            )
        if isinstance(config.task, TemporalOrder):
            return SymbolsInOrder(
                level=config.task.level,
                lengths=_range("lengths", data.lengths),
                t1=_range("t1", data.t1),
                t2=_range("t2", data.t2),
                size=data.size,
                val_size=data.val_size,
                test_size=data.test_size,
                easier=data.easier,
                seed=config.seed,
            )
        return resolve_imdb(
            source=data.source,
            data_dir=Path(config.paths.data_dir),
            sample_size=data.sample_size,
            may_fall_back=may_use_sample(config, may_fall_back),
        )

    def build_data(self, config: Config, corpus: LabelledCorpus) -> ClassificationData:
        data = config.task.data
        if data.max_tokens is not None and data.max_tokens < data.max_length:
            raise UserError(
                f"task.data.max_tokens={data.max_tokens} cannot be used: one text may have "
                f"task.data.max_length={data.max_length} tokens; raise the one or lower the other"
            )
        return ClassificationData(
            corpus=corpus,
            settings=text_settings(config),
            cache_dir=Path(config.paths.cache_dir),
            batch_size=batch_size_per_rank(config),
            max_tokens=data.max_tokens,
            max_length=data.max_length,
            truncation=data.truncation,
            padding=config.task.padding,
            num_workers=data.num_workers,
            seed=config.seed,
        )

    def build_network(self, config: Config, parts: dict[str, Any]) -> TextClassifier:
        embedding = build_embedding(config, len(parts["vocab"]))
        return TextClassifier(
            embedding=embedding,
            recurrent=build_stack(config.model, input_size=embedding.output_size, one_hot=embedding.one_hot),
            num_classes=len(parts["labels"]),
            pooling=config.task.pooling,
            input_dropout=config.model.input_dropout,
            output_dropout=config.task.output_dropout,
            segment_length=config.task.segment_length,
            padding=config.task.padding,
        )

    def saved_parts(self, data: ClassificationData) -> dict[str, Any]:
        return {"vocab": data.prepared.vocab.tokens, "labels": list(data.prepared.labels)}

    def build_task(self, config: Config, data: ClassificationData) -> ClassificationTask:
        prepared = data.prepared
        network: Any = self.network_for(config, data)
        if config.embedding.adversarial and config.embedding.kind == "onehot":
            raise UserError("embedding.adversarial needs learned vectors to move: it doesn't go with embedding=onehot")
        if config.embedding.start == "ppmi":
            _start_embedding(network, data, config.embedding)
        task = ClassificationTask(
            network=network,
            labels=prepared.labels,
            label_smoothing=config.task.label_smoothing,
            adversarial=config.embedding.adversarial,
            class_weights=class_weights(config.task.class_weights, prepared.labels, prepared.splits["train"].labels),
            **self.shared_of_task(config, data),
        )
        check_monitors(config, task.validation_metrics)
        return task

    def callbacks(self, config: Config, data: ClassificationData) -> list[Callback]:
        return [Misclassified(labels=data.prepared.labels, text_of=lambda index: data.text_of("val", index))]

    def keep(self, task: ClassificationTask, folder: Path) -> None:
        """confusion.csv, true classes down and predicted ones across."""
        write_confusion(folder, task.labels, task.confusion_matrix())

    def show(self, task: ClassificationTask) -> None:
        """The confusion matrix of more than two classes."""
        if 2 < len(task.labels) <= MOST_CLASSES_SHOWN:
            show_confusion(task.labels, task.confusion_matrix())

    def prepare(self, config: Config, data: ClassificationData) -> None:
        data.prepare_data()
        if config.embedding.start == "ppmi":
            data.word_vectors(config.embedding.size)

    def describe(self, data: ClassificationData) -> list[str]:
        from numpy import median

        prepared, lines = data.prepared, []
        for name, split in prepared.splits.items():
            lengths = split.texts.lengths
            median_length = int(median(lengths))
            lines.append(f"{name:<6}{len(split.texts):>9,} texts  {lengths.sum():>12,} tokens  median {median_length}")
        return [*lines, f"{len(prepared.vocab):,} words in the vocabulary, classes {', '.join(prepared.labels)}"]


CLASSIFICATION = Classification()


def text_settings(config: Config) -> TextSettings:
    """How the task's texts become ids."""
    text, data = config.task.text, config.task.data
    return TextSettings(
        tokenizer=text.tokenizer,
        min_freq=text.min_freq,
        max_size=text.max_size,
        validation_share=data.validation_share,
        test_share=getattr(data, "test_share", 0.0),
    )


def _range(name: str, given: list[int] | None) -> tuple[int, int] | None:
    if given is None:
        return None
    if len(given) != 2:
        raise UserError(f"task.data.{name}={given} cannot be used: it must be two numbers, as in [10,20], or null")
    return given[0], given[1]


def _start_embedding(network: TextClassifier, data: ClassificationData, settings: Embedding) -> None:
    """Gives the embedding the vectors that the training texts say."""
    if not isinstance(network.embedding, LearnedEmbedding):
        raise UserError(f"embedding.start=ppmi needs learned vectors: it doesn't go with embedding={settings.kind}")
    vectors = data.word_vectors(settings.size)
    if vectors.any():
        network.embedding.start_from(vectors)
    else:
        log.warning("No two words stand near each other in the training texts: the embedding starts at random.")


def class_weights(setting: Any, labels: tuple[str, ...], seen: Any) -> list[float] | None:
    """The weight of each class in the training loss.

    Args:
        setting: None, "balanced" (all classes count alike, however rare) or {class: weight}.
        labels: class names.
        seen: (N,) class ids of the training texts.

    Raises:
        UserError: for any other setting, a class missing from it or unknown, or a weight that is not positive.
    """
    if setting is None:
        return None
    if setting == "balanced":
        return [len(seen) / (len(labels) * max(1, int((seen == label).sum()))) for label in range(len(labels))]
    if not isinstance(setting, dict) or set(map(str, setting)) != set(labels):
        raise UserError(
            f"task.class_weights={setting} cannot be used: it must be null, balanced, or a weight for each of "
            f"{', '.join(labels)}, as in 'task.class_weights={{{labels[0]}: 2, ...}}'"
        )
    weights = {str(name): weight for name, weight in setting.items()}
    if not all(isinstance(weight, int | float) and weight > 0 for weight in weights.values()):
        raise UserError(f"task.class_weights={setting} cannot be used: every weight must be a number above 0")
    return [float(weights[label]) for label in labels]
