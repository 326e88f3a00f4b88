"""Base classes of models that assign classes to inputs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from sluice.plain import Plain

Item = TypeVar("Item")


class Prediction(Protocol):
    """The prediction for one input."""

    def as_dict(self) -> Plain:
        """All fields, in plain containers."""

    def lines(self) -> list[str]:
        """A human-readable summary; the first line has the predicted class."""


class Predictor(ABC, Generic[Item]):
    """Assigns classes to inputs that can be written as a line of text."""

    description: ClassVar[str] = "classifies"
    """Completes "a model that ..." in error messages."""

    @abstractmethod
    def predict(self, items: Sequence[Item], first: int = 1) -> Sequence[Prediction]:
        """Predicts the classes of a batch of inputs.

        Args:
            items: the inputs.
            first: number of the first input, for error messages.

        Raises:
            UserError: if an input is invalid.
        """

    @abstractmethod
    def parse_arguments(self, texts: Sequence[str]) -> list[Item]:
        """Converts the texts of a command line to inputs.

        Raises:
            UserError: if there are too few or too many.
        """

    @abstractmethod
    def parse_line(self, line: str, where: str) -> Item:
        """Converts a line of a file to an input.

        Args:
            line: the line.
            where: file and line number, for the error message.

        Raises:
            UserError: if the line is invalid.
        """


class TextPredictor(Predictor[str]):
    """Assigns classes to single texts."""

    def parse_arguments(self, texts: Sequence[str]) -> list[str]:
        return list(texts)

    def parse_line(self, line: str, where: str) -> str:
        return line
