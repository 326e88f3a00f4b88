"""task=multi30k: translation of image captions, German to English."""

from pathlib import Path

from sluice.config.schema import Config
from sluice.config.tasks.translation import Multi30k
from sluice.data.corpora.multi30k import resolve_multi30k
from sluice.data.corpus import ParallelCorpus
from sluice.recipes.task import may_use_sample
from sluice.recipes.translation import SentencePairRecipe


class Multi30kRecipe(SentencePairRecipe[Multi30k]):
    """Translation of image captions: Elliott et al. (2016), task 1."""

    settings_type = Multi30k

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> ParallelCorpus:
        data = self.settings(config).data
        return resolve_multi30k(
            source=data.source,
            data_dir=Path(config.paths.data_dir),
            sample_size=data.sample_size,
            may_fall_back=may_use_sample(config, may_fall_back),
            source_language=data.source_language,
            target_language=data.target_language,
        )
