"""The interface between searches and models."""

from typing import Generic, NamedTuple, Protocol, TypeVar

from torch import Tensor
from typing_extensions import Self


class SearchState(Protocol):
    """The state of a model between steps, for R rows."""

    def select(self, rows: Tensor) -> Self:
        """Returns the state of these rows (R',) int64, in their order; rows may be repeated."""


StateT = TypeVar("StateT", bound=SearchState)


class StepOutput(NamedTuple, Generic[StateT]):
    """Result of one step of a model for R rows."""

    logits: Tensor
    """(R, V), logits or log-probabilities of the next word; −inf for words with probability 0."""
    state: StateT
    weights: Tensor | None
    """(R, S), attention weights over the source; None without attention."""


class StepFunction(Protocol[StateT]):
    """A model that computes one step."""

    def __call__(self, words: Tensor, state: StateT) -> StepOutput[StateT]:
        """Computes a step from the previous words (R,) int64 and the state before them."""


class Hypothesis(NamedTuple):
    """A sentence found by a search."""

    words: list[int]
    """Word ids, without the end-of-sentence token."""
    score: float
    """The log-probability divided by the length penalty, by which hypotheses are ranked."""
    log_probability: float
    """Log-probability of the words and the end-of-sentence token."""
    weights: Tensor | None
    """(words + 1, S) on the CPU, attention weights of each word and of the end; None without attention."""
