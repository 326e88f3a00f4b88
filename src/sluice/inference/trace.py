"""States, gates and predictions of a model at every token of a text."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sluice.errors import UserError
from sluice.inference.hidden_states import HiddenStates
from sluice.text.vocab import UNKNOWN


class StepPrediction(NamedTuple):
    """The prediction of a model after a token."""

    prediction: str
    """The most probable class or token."""
    probability: float
    """Its probability."""
    next_probability: float | None = None
    """Probability of the token that follows in the text; language models only, None at the last token."""


@dataclass(frozen=True)
class Trace:
    """States and gates of one layer and direction at the T tokens of a text, and the model's predictions.

    Example:
        >>> from sluice.inference.examples import classifier
        >>> trace = classifier().trace("the film was a bore")
        >>> trace.symbols
        ['the', 'film', 'was', 'a <unk>', 'bore <unk>']
        >>> {name: values.shape for name, values in trace.states.items()}
        {'hidden': (5, 8), 'cell': (5, 8)}
        >>> list(trace.gates)
        ['input', 'forget', 'candidate', 'output']
    """

    tokens: list[str]
    """The T tokens, as the model reads them."""
    known: list[bool]
    """Whether each token is in the vocabulary."""
    states: dict[str, NDArray[np.float32]]
    """States (T, H), by name: "hidden", and "cell" for an LSTM."""
    gates: dict[str, NDArray[np.float32]]
    """Gate activations (T, H), by name."""
    outputs: NDArray[np.float32]
    """(T, directions · H), the outputs of the recurrent core."""
    predictions: list[StepPrediction] = field(default_factory=list)
    """The prediction from the text up to each token; empty if the model predicts from the whole text only."""
    prediction: StepPrediction | None = None
    """The prediction of a classifier for the whole text."""
    weights: NDArray[np.float32] | None = None
    """(T,) weights of attention pooling; None without."""
    length: int = 0
    """Number of tokens of the text before truncation, for models with a maximum length."""
    kept: int = 0
    """Number of tokens of the text after truncation."""

    @property
    def symbols(self) -> list[str]:
        """The tokens, unknown ones followed by `<unk>`."""
        pairs = zip(self.tokens, self.known, strict=True)
        return [word if known or word == UNKNOWN else f"{word} {UNKNOWN}" for word, known in pairs]

    @property
    def unknown(self) -> list[str]:
        """The tokens that are not in the vocabulary."""
        return [word for word, known in zip(self.tokens, self.known, strict=True) if not known]


class TracedStates(NamedTuple):
    """The arrays of `HiddenStates`, see `Trace`."""

    states: dict[str, NDArray[np.float32]]
    gates: dict[str, NDArray[np.float32]]
    outputs: NDArray[np.float32]

    @classmethod
    def of(cls, hidden: HiddenStates) -> "TracedStates":
        """Copies states and gates to arrays on the CPU."""
        states = {name: array_of(part) for name, part in hidden.states.items()}
        return cls(states, {name: array_of(part) for name, part in hidden.gates.items()}, array_of(hidden.outputs))


def array_of(values: Tensor) -> NDArray[np.float32]:
    """Returns a tensor as an array of float32."""
    array: NDArray[np.float32] = values.detach().float().cpu().numpy()
    return array


def require_tokens(words: Sequence[str]) -> list[str]:
    """Returns the tokens of a text.

    Raises:
        UserError: if there are none.
    """
    if not words:
        raise UserError("the text is empty: it has no tokens")
    return list(words)


def most_probable(logits: Tensor, names: Sequence[str]) -> list[StepPrediction]:
    """Returns the most probable class of each row.

    Args:
        logits: (T, K).
        names: names of the K classes.
    """
    probabilities, indices = logits.float().softmax(-1).max(-1)
    rows = zip(probabilities.tolist(), indices.tolist(), strict=True)
    return [StepPrediction(names[index], probability) for probability, index in rows]
