"""task=multi30k: translation of image captions, German to English."""

from sluice.config.schema import Config
from sluice.config.tasks.translation import Multi30k
from sluice.data.corpora.multi30k import resolve_multi30k
from sluice.data.corpus import ParallelCorpus
from sluice.recipes.task import where_published
from sluice.recipes.translation import SentencePairRecipe


class Multi30kRecipe(SentencePairRecipe[Multi30k]):
    """Translation of image captions: Elliott et al. (2016), task 1."""

    settings_type = Multi30k

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> ParallelCorpus:
        data = self.settings(config).data
        return resolve_multi30k(
            **where_published(config, data, may_fall_back),
            source_language=data.source_language,
            target_language=data.target_language,
        )
