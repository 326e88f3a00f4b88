"""How good translations are: figures that others can compare."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

SCORES = ("bleu", "bleu_lowercase", "chrf")


class Scoring(NamedTuple):
    """How what a model wrote is compared with what it should have written."""

    names: tuple[str, ...]
    """Of the scores."""
    score: Callable[[Sequence[str], Sequence[str]], dict[str, float]]
    """From the written texts and as many references to the scores."""
    signatures: Callable[[], dict[str, str]] = dict
    """How others would get the same scores, where there is a word for it."""


def corpus_scores(translations: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU, BLEU of lower-cased texts and chrF (0 to 100) of a whole corpus, as sacrebleu's command line has them.

    Post (2018), "A call for clarity in reporting BLEU scores", arXiv 1804.08771.

    Args:
        translations: as people write them, not tokenised.
        references: as many.
    """
    return {name: metric.corpus_score(list(translations), [list(references)]).score for name, metric in _made().items()}


def signatures(count: int = 1) -> dict[str, str]:
    """How each score was computed, in sacrebleu's words.

    Args:
        count: references of a sentence.
    """
    found = {}
    for name, metric in _made().items():
        metric.num_refs = count
        found[name] = str(metric.get_signature())
    return found


@cache
def _made() -> dict[str, Any]:
    from sacrebleu.metrics.bleu import BLEU  # needed only where translations are scored
    from sacrebleu.metrics.chrf import CHRF

    return {"bleu": BLEU(), "bleu_lowercase": BLEU(lowercase=True), "chrf": CHRF()}


TRANSLATION_SCORING = Scoring(SCORES, corpus_scores, signatures)
"""There are many good ones: how much each has in common with one of them."""
NO_SCORING = Scoring((), lambda written, references: {})
"""Any of countless texts would do: only probabilities say something."""


def exact_match_scoring(split: Callable[[str], list[str]]) -> Scoring:
    """Each is right or wrong as a whole: `exact` is the share of right ones.

    Args:
        split: to tokens; texts with the same tokens are the same.
    """

    def score(written: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        right = sum(split(own) == split(wanted) for own, wanted in zip(written, references, strict=True))
        return {"exact": right / max(len(references), 1)}

    return Scoring(("exact",), score)
