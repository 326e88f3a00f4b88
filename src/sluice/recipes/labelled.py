"""Base recipe of classification: of texts and of pairs of texts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, TypedDict, TypeVar

import numpy as np

from sluice.config.tasks.classification import Classification, Folds, Text
from sluice.config.tasks.pairs import CharNgramText, Pairs
from sluice.data.corpora.tables import Fold
from sluice.data.corpus import Corpus
from sluice.recipes.task import TaskRecipe
from sluice.runs.evaluation import EvaluatedSplit, Evaluation, Request, evaluate_classifiers
from sluice.runs.report import print_confusion
from sluice.runs.saved_model import SavedModel
from sluice.text.tokenization import Tokenization
from sluice.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from sluice.data.classification import ClassificationData
    from sluice.data.text_pairs import TextPairData
    from sluice.modules.classification import ClassificationModule

MOST_CLASSES_SHOWN = 12

Settings = TypeVar("Settings", bound=Classification | Pairs)
CorpusType = TypeVar("CorpusType", bound=Corpus)
DataModule = TypeVar("DataModule", bound="ClassificationData | TextPairData")
Module = TypeVar("Module", bound="ClassificationModule")


class ClassifierParts(TypedDict):
    """Checkpoint contents of a classifier besides the weights."""

    vocab: list[str]
    labels: list[str]
    subword_model: bytes | None


class LabelRecipe(
    TaskRecipe[Settings, CorpusType, DataModule, Module, ClassifierParts],
    Generic[Settings, CorpusType, DataModule, Module],
):
    """Assigns one class to each text, or to each pair of texts."""

    evaluates_files: ClassVar[bool] = True
    knows_metrics: ClassVar[bool] = True
    items: ClassVar[str] = "texts"
    """What is classified."""

    def write_artifacts(self, module: Module, folder: Path) -> None:
        """Writes confusion.csv: rows are true classes, columns predicted classes."""
        from sluice.runs.results import write_confusion

        write_confusion(folder, module.labels, module.confusion_matrix())

    def print_summary(self, module: Module) -> None:
        """Prints the confusion matrix of three or more classes."""
        if 2 < len(module.labels) <= MOST_CLASSES_SHOWN:
            print_confusion(module.labels, module.confusion_matrix())

    def data_counts(self, data: DataModule) -> dict[str, dict[str, int]]:
        return {
            name: {
                self.items: len(split.labels),
                "tokens": int(split.texts.lengths.sum()),
                "classes": len(np.unique(split.labels)),
            }
            for name, split in data.prepared.splits.items()
        }

    def tokenizer_of(self, model: SavedModel) -> Tokenizer:
        """Returns the function that splits texts into the tokens of a trained model."""
        tokens = tokenization(self.settings(model.config).text)
        return tokens.given(model.tokenized).make(model.parts.get("subword_model"))

    @abstractmethod
    def examples(self, model: SavedModel, request: Request) -> tuple[Module, EvaluatedSplit]:
        """Returns the LightningModule of a trained model, and the examples of a split or file for its test."""

    def evaluate(self, model: SavedModel, request: Request) -> Evaluation:
        """Evaluates on a split of the task's data, or on a file of labelled examples."""
        return evaluate_classifiers([model], [self.examples(model, request)], self.items)

    def evaluate_ensemble(self, models: Sequence[SavedModel], request: Request) -> Evaluation:
        return evaluate_classifiers(models, [self.examples(model, request) for model in models], self.items)


def fold_for_test(data: Folds, known: tuple[str, ...] | None) -> Fold | None:
    """Returns the fold that is the test split; None without cross-validation.

    Args:
        data: the settings.
        known: classes of a trained model; its evaluation selects the rows by the text hashes of its splits, from all.
    """
    return None if data.folds is None or data.fold is None or known is not None else Fold(data.fold, data.folds)


def tokenization(text: Text | CharNgramText) -> Tokenization:
    """Returns the settings of `task.text` for splitting texts into tokens."""
    return Tokenization(**{entry.name: getattr(text, entry.name) for entry in fields(Tokenization)})
