"""How hypotheses of different lengths are compared."""

from typing import NamedTuple

from sluice.options import LENGTH_PENALTIES


class LengthPenalty(NamedTuple):
    """Divides a log-probability by a function of the length n, the mark of the end counted.

    none     1
    average  n^α
    gnmt     ((5 + n) / 6)^α  (Wu et al. 2016, arXiv 1609.08144, equation 14)
    """

    kind: str = "average"
    alpha: float = 1.0

    def check(self) -> None:
        """
        Raises:
            ValueError: for a penalty that doesn't exist or α below 0.
        """
        if self.kind not in LENGTH_PENALTIES:
            raise ValueError(f"there is no length penalty {self.kind!r}; there are {', '.join(LENGTH_PENALTIES)}")
        if self.alpha < 0:
            raise ValueError(f"alpha of the length penalty must be at least 0, got {self.alpha}")

    def score(self, log_probability: float, length: int) -> float:
        """What hypotheses are ranked by.

        Args:
            log_probability: of the whole hypothesis.
            length: words, the mark of the end counted.
        """
        if self.kind == "none":
            return log_probability
        size = length if self.kind == "average" else (5 + length) / 6
        return log_probability / size**self.alpha

    def bound(self, log_probability: float, longest: int) -> float:
        """The best score that what goes on from here may still get: nothing is lost any more, at the greatest length.

        Args:
            log_probability: so far.
            longest: the greatest length, the mark of the end counted.
        """
        return self.score(log_probability, longest)
