"""Base classes of models that assign classes to inputs."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from sluice.errors import UserError
from sluice.inference.base import InferenceModel
from sluice.plain import Plain

BATCH_SIZE = 64
"""Default number of inputs run through a network together."""

Item = TypeVar("Item")


class Prediction(Protocol):
    """The prediction for one input."""

    def as_dict(self) -> Plain:
        """All fields, in plain containers."""

    def columns(self) -> Plain:
        """The values of `Predictor.columns`, for tables."""

    def lines(self) -> list[str]:
        """A human-readable summary; the first line has the predicted class."""


class Predictor(InferenceModel, ABC, Generic[Item]):
    """Assigns classes to inputs that consist of one or more texts."""

    description: ClassVar[str] = "classifies"
    """Completes "a model that ..." in error messages."""
    fields: ClassVar[tuple[str, ...]] = ("text",)
    """Names of the texts of an input."""
    columns: ClassVar[tuple[str, ...]] = ("prediction", "probability")
    """Names of the columns that a table of predictions has."""
    answers_blank: ClassVar[bool] = False
    """Whether blank texts have predictions."""

    @abstractmethod
    def item(self, texts: Sequence[str]) -> Item:
        """Converts the texts of an input, as many as `fields`, to an item of `predict`."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the class ids."""

    @abstractmethod
    def predict(self, items: Iterable[Item], *, batch_size: int = BATCH_SIZE) -> Sequence[Prediction]:
        """Predicts the classes of inputs.

        Args:
            items: any number of inputs, sorted by length into batches.
            batch_size: number of inputs run through the network together.
        """

    def split_arguments(self, texts: Sequence[str]) -> list[Sequence[str]]:
        """Splits the texts of a command line into inputs.

        Raises:
            UserError: if an input has several texts, and there are too few or too many.
        """
        if len(self.fields) == 1:
            return [[text] for text in texts]
        if len(texts) != len(self.fields):
            raise UserError(f"got {_counted(len(texts))}, but this model compares two: give two texts in quotes")
        return [texts]

    def split_line(self, line: str, where: str) -> Sequence[str]:
        """Splits a line into the texts of an input, which are separated by tabs; a blank line into empty texts.

        Args:
            line: the line.
            where: file and line number, for the error message.

        Raises:
            UserError: if there are too few or too many.
        """
        texts = line.split("\t") if len(self.fields) > 1 and line.strip() else [line] * len(self.fields)
        if len(texts) != len(self.fields):
            raise UserError(
                f"{where}: got {_counted(len(texts))}, but this model compares two: separate two texts by one tab"
            )
        return texts


def _counted(texts: int) -> str:
    return f"{texts} {'text' if texts == 1 else 'texts'}"
