"""task=reviews: classification of your own labelled texts."""

from dataclasses import replace
from pathlib import Path

from sluice.config.schema import Config
from sluice.config.tasks.classification import Reviews
from sluice.data.classification import TextSettings
from sluice.data.corpora.tables import LabelledTable
from sluice.data.corpus import LabelledCorpus
from sluice.recipes.classification import ClassificationRecipe
from sluice.recipes.labelled import fold_for_test


class ReviewsRecipe(ClassificationRecipe[Reviews]):
    """Classification of labelled texts in CSV, TSV or JSONL files, with two or more classes."""

    settings_type = Reviews

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> LabelledCorpus:
        data = self.settings(config).data
        return LabelledTable(
            path=Path(data.path),
            validation_path=Path(data.validation_path) if data.validation_path else None,
            test_path=Path(data.test_path) if data.test_path else None,
            text_column=data.text_column,
            label_column=data.label_column,
            known_labels=known,
            fold=fold_for_test(data, known),
        )

    def text_columns(self, config: Config) -> tuple[str, ...]:
        return (self.settings(config).data.text_column,)

    def text_settings(self, settings: Reviews) -> TextSettings:
        return replace(super().text_settings(settings), test_fraction=settings.data.test_fraction)
