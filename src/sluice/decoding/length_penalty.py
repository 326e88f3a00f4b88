"""Length penalties for comparing hypotheses of different lengths."""

from typing import NamedTuple

from sluice.options import LENGTH_PENALTIES


class LengthPenalty(NamedTuple):
    """Divides a log-probability by a function of the length n, including the end-of-sentence token.

    none     1
    average  n^α
    gnmt     ((5 + n) / 6)^α  (Wu et al. 2016, arXiv 1609.08144, equation 14)
    """

    kind: str = "average"
    alpha: float = 1.0

    def check(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: for an unknown penalty or α below 0.
        """
        if self.kind not in LENGTH_PENALTIES:
            raise ValueError(f"unknown length penalty {self.kind!r}: expected one of {', '.join(LENGTH_PENALTIES)}")
        if self.alpha < 0:
            raise ValueError(f"alpha of the length penalty must be at least 0, got {self.alpha}")

    def score(self, log_probability: float, length: int) -> float:
        """Returns the score by which hypotheses are ranked.

        Args:
            log_probability: of the whole hypothesis.
            length: number of words, including the end-of-sentence token.
        """
        if self.kind == "none":
            return log_probability
        size = length if self.kind == "average" else (5 + length) / 6
        return log_probability / size**self.alpha

    def bound(self, log_probability: float, max_length: int) -> float:
        """Returns an upper bound of the scores of all continuations of a hypothesis.

        Args:
            log_probability: of the hypothesis so far.
            max_length: maximum number of words, including the end-of-sentence token.
        """
        return self.score(log_probability, max_length)
