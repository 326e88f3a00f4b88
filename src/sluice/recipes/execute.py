"""Programs in, what they print out."""

from typing import Any

from sluice.config.schema import Config
from sluice.data.pairs import ParallelCorpus
from sluice.data.parallel import PairSettings
from sluice.data.staged_pairs import StagedPairs, climbing
from sluice.data.synthetic.as_pairs import programs_as_pairs
from sluice.data.synthetic.execute import Execute
from sluice.inference.translator import Translator
from sluice.metrics.translation_scores import as_the_only_answers
from sluice.modules.execute import ExecutionTask
from sluice.recipes.translation import TranslationFamily, shared_of_data
from sluice.text.coder import SentenceCoder


class ExecutionFamily(TranslationFamily):
    """Learning to execute."""

    tasks = ("execute",)
    use = 'sluice translate {run} "print((12+7))"'

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> ParallelCorpus:
        return programs_as_pairs(_problem(config))

    def build_data(self, config: Config, corpus: ParallelCorpus) -> StagedPairs:
        data, stages = config.task.data, len(_problem(config).stages)
        return StagedPairs(
            **shared_of_data(config, corpus),
            settings=self.pair_settings(config),
            stages=stages,
            stage_size=data.size,
            stage_of=climbing(stages, epochs=config.trainer["max_epochs"], share=data.climb),
        )

    def pair_settings(self, config: Config) -> PairSettings:
        longest = config.task.data.max_length
        return PairSettings(unit="chars", min_freq=1, max_length=longest, max_ratio=float(longest))

    def make_task(self, config: Config, translator: Translator, **options: Any) -> ExecutionTask:
        scoring = as_the_only_answers(translator.target.unit.split)
        return ExecutionTask(translator=translator, scoring=scoring, **options)

    def source_of(self, coder: SentenceCoder, text: str) -> str:
        """A program; its line breaks may be written as \\n, since a text of one line is easier to give."""
        return text.replace("\\n", "\n").strip()


EXECUTION = ExecutionFamily()


def _problem(config: Config) -> Execute:
    data = config.task.data
    return Execute(
        length=data.length,
        nesting=data.nesting,
        curriculum=data.curriculum,
        size=data.size,
        val_size=data.val_size,
        test_size=data.test_size,
        seed=config.seed,
    )
