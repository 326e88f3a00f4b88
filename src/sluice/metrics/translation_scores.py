"""Scores of translations, comparable with published ones."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

SCORES = ("bleu", "bleu_lowercase", "chrf")


class Scoring(NamedTuple):
    """Scores of decoded texts against references."""

    names: tuple[str, ...]
    """Names of the scores."""
    score: Callable[[Sequence[str], Sequence[str]], dict[str, float]]
    """Maps decoded texts and their references to the scores."""
    signatures: Callable[[], dict[str, str]] = dict
    """Returns the signature of each score, for reproducing it; empty if there is none."""


def corpus_scores(translations: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Returns corpus BLEU, lower-cased BLEU and chrF (0 to 100), identical to those of the sacrebleu command line.

    Post (2018), "A call for clarity in reporting BLEU scores", arXiv 1804.08771.

    Args:
        translations: detokenised translations.
        references: one reference per translation.
    """
    return {
        name: metric.corpus_score(list(translations), [list(references)]).score for name, metric in _metrics().items()
    }


def signatures(count: int = 1) -> dict[str, str]:
    """Returns the sacrebleu signature of each score.

    Args:
        count: references per sentence.
    """
    found = {}
    for name, metric in _metrics().items():
        metric.num_refs = count
        found[name] = str(metric.get_signature())
    return found


@cache
def _metrics() -> dict[str, Any]:
    from sacrebleu.metrics.bleu import BLEU  # slow import
    from sacrebleu.metrics.chrf import CHRF

    return {"bleu": BLEU(), "bleu_lowercase": BLEU(lowercase=True), "chrf": CHRF()}


TRANSLATION_SCORING = Scoring(SCORES, corpus_scores, signatures)
"""Similarity to a reference: BLEU and chrF."""
NO_SCORING = Scoring((), lambda texts, references: {})
"""No scores, for tasks in which many different texts are correct."""


def exact_match_scoring(split: Callable[[str], list[str]]) -> Scoring:
    """Returns a scoring by exact match: `exact` is the fraction of correct texts.

    Args:
        split: tokenizer; texts with the same tokens are equal.
    """

    def score(texts: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        right = sum(split(text) == split(reference) for text, reference in zip(texts, references, strict=True))
        return {"exact": right / max(len(references), 1)}

    return Scoring(("exact",), score)
