"""A running text made up on the spot, for when the real one cannot be had: the generated reviews, one a line."""

from collections.abc import Iterator

from sluice.data.fingerprints import Sources
from sluice.data.running_text import Line
from sluice.data.sample_reviews import SampleReviews
from sluice.text.tokenizers import make_tokenizer

HELD_OUT = 10
"""Of so many training reviews one is for validation."""


class SampleText:
    """The generated reviews as a text: words and punctuation set apart, a review a line."""

    name = "sample"

    def __init__(self, *, size: int, seed: int = 0) -> None:
        """
        Args:
            size: training reviews.
            seed: of the reviews.

        Raises:
            UserError: if there are too few.
        """
        self._reviews = SampleReviews(size=size, seed=seed)

    @property
    def description(self) -> str:
        """How it was made, for people."""
        return f"{self._reviews.description}, one a line"

    @property
    def sources(self) -> Sources:
        """The generator, its size and its seed."""
        own = self._reviews.sources
        return Sources(f"text of {own.recipe}", seed=own.seed)

    def lines(self) -> Iterator[Line]:
        """Yields a line a review."""
        tokenize = make_tokenizer("words")
        for number, review in enumerate(self._reviews.documents()):
            split = "val" if review.split == "train" and number % HELD_OUT == 0 else review.split
            yield Line(split, " ".join(tokenize(review.text)))
