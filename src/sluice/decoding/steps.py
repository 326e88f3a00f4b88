"""What every search asks of a model, and what it answers with."""

from typing import Generic, NamedTuple, Protocol, Self, TypeVar

from torch import Tensor


class SearchState(Protocol):
    """What a model carries from step to step, for R rows."""

    def select(self, rows: Tensor) -> Self:
        """The state of these rows (R',) int64, in their order; a row may come more than once."""


StateT = TypeVar("StateT", bound=SearchState)


class Step(NamedTuple, Generic[StateT]):
    """One step of a model for R rows."""

    log_probabilities: Tensor
    """(R, V), of the next word; the search may write into it."""
    state: StateT
    weights: Tensor | None
    """(R, S), where the model looked in the source; None where it cannot say."""


class StepFunction(Protocol[StateT]):
    """A model as a search sees it."""

    def __call__(self, words: Tensor, state: StateT) -> Step[StateT]:
        """The words (R,) int64 written last and the state before them to the next step."""


class Hypothesis(NamedTuple):
    """A sentence that a search found."""

    words: list[int]
    """Without the mark of the end."""
    score: float
    """What the search ranks by: the log-probability over the length penalty."""
    log_probability: float
    """Of the words and the end."""
    weights: Tensor | None
    """(words + 1, S) on the CPU, where the model looked for each word and for the end; None where it cannot say."""


def end_where(log_probabilities: Tensor, forced: Tensor, end_id: int) -> None:
    """Leaves the rows (R,) bool that have reached their longest no choice but the end, at its own probability."""
    if forced.any():
        end = log_probabilities[:, end_id].clone()
        log_probabilities.masked_fill_(forced.unsqueeze(1), float("-inf"))
        log_probabilities[:, end_id] = end
