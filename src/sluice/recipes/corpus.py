"""task=corpus: language modelling on your own text files."""

from pathlib import Path

from sluice.config.schema import Config
from sluice.config.tasks.language import OwnCorpus
from sluice.data.corpora.text_files import TextFiles
from sluice.recipes.language import LanguageModelRecipe


class CorpusRecipe(LanguageModelRecipe[OwnCorpus]):
    """Language modelling on a text file, or on a folder of text files."""

    settings_type = OwnCorpus

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> TextFiles:
        settings = self.settings(config)
        data = settings.data
        return TextFiles(
            path=Path(data.path),
            validation_path=Path(data.validation_path) if data.validation_path else None,
            test_path=Path(data.test_path) if data.test_path else None,
            validation_fraction=data.validation_fraction,
            test_fraction=data.test_fraction,
            pattern=data.pattern,
            by_characters=settings.text.unit == "chars",
        )
