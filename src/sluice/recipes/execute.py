"""task=execute: prediction of the output of short programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.config.schema import Config
from sluice.config.tasks.generated_pairs import Execute
from sluice.data.corpus import ParallelCorpus
from sluice.data.parallel import ParallelSettings
from sluice.data.synthetic.execute import Execute as Programs
from sluice.data.synthetic.execute import programs_as_pairs
from sluice.inference.translator import Translator
from sluice.metrics.translation_scores import exact_match_scoring
from sluice.recipes.translation import Seq2SeqRecipe
from sluice.text.coder import SentenceCoder

if TYPE_CHECKING:
    from sluice.data.translation import StagedTranslationData
    from sluice.modules.execute import ExecutionModule


class ExecuteRecipe(Seq2SeqRecipe[Execute]):
    """Program execution: Zaremba & Sutskever (2014), "Learning to execute", arXiv 1410.4615."""

    settings_type = Execute
    kind = "execution"
    description = "predicts the output of programs"
    usage = 'sluice translate {run} "print((12+7))"'

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> ParallelCorpus:
        return programs_as_pairs(self._programs(config))

    def build_data(self, config: Config, corpus: ParallelCorpus) -> StagedTranslationData:
        from sluice.data.translation import StagedTranslationData, curriculum_stages

        settings, stages = self.settings(config), len(self._programs(config).stages)
        return StagedTranslationData(
            **self.data_arguments(config, corpus),
            settings=self.pair_settings(settings),
            stages=stages,
            stage_size=settings.data.size,
            stage_of=curriculum_stages(
                stages, epochs=config.trainer["max_epochs"], fraction=settings.data.curriculum_fraction
            ),
        )

    def pair_settings(self, settings: Execute) -> ParallelSettings:
        longest = settings.data.max_length
        return ParallelSettings(unit="chars", min_freq=1, max_length=longest, max_ratio=float(longest))

    def translation_module(self, config: Config, translator: Translator, **options: Any) -> ExecutionModule:
        from sluice.modules.execute import ExecutionModule

        scoring = exact_match_scoring(translator.target.unit.split)
        return ExecutionModule(translator=translator, scoring=scoring, **options)

    def source_of(self, coder: SentenceCoder, text: str) -> str:
        """Returns the program; in the input, its line breaks may be written as \\n."""
        return text.replace("\\n", "\n").strip()

    def _programs(self, config: Config) -> Programs:
        data = self.settings(config).data
        return Programs(
            length=data.length,
            nesting=data.nesting,
            curriculum=data.curriculum,
            size=data.size,
            val_size=data.val_size,
            test_size=data.test_size,
            seed=config.seed,
        )
