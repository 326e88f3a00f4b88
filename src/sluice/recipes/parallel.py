"""task=parallel: translation of your own parallel text."""

from dataclasses import replace
from pathlib import Path

from sluice.config.schema import Config
from sluice.config.tasks.translation import Parallel
from sluice.data.corpora.parallel_files import PairPaths, ParallelFiles
from sluice.data.parallel import ParallelSettings
from sluice.recipes.translation import SentencePairRecipe


class ParallelRecipe(SentencePairRecipe[Parallel]):
    """Translation of sentence pairs in one file, a pair per line, or in two aligned files."""

    settings_type = Parallel

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> ParallelFiles:
        data = self.settings(config).data
        return ParallelFiles(
            train=_paths(data.path, data.target_path),
            val=_paths(data.validation_path, data.validation_target_path) if data.validation_path else None,
            test=_paths(data.test_path, data.test_target_path) if data.test_path else None,
            source_language=data.source_language,
            target_language=data.target_language,
        )

    def pair_settings(self, settings: Parallel) -> ParallelSettings:
        data = settings.data
        own = super().pair_settings(settings)
        return replace(own, validation_fraction=data.validation_fraction, test_fraction=data.test_fraction)


def _paths(source: str, target: str | None) -> PairPaths:
    return Path(source) if target is None else (Path(source), Path(target))
