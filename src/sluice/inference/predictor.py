"""What every model that assigns classes looks like to the commands."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from sluice.plain import Plain

Item = TypeVar("Item")


class Prediction(Protocol):
    """The answer for one input."""

    def as_dict(self) -> Plain:
        """Everything there is to know, in plain containers."""

    def lines(self) -> list[str]:
        """The same in short, to be printed; the first line has the answer."""


class Predictor(ABC, Generic[Item]):
    """Assigns classes to inputs, one of which is a text or what can be written as a line of text."""

    wanted: ClassVar[str] = "classifies"
    """What a command that takes such a model says it wants."""

    @abstractmethod
    def predict(self, items: Sequence[Item], first: int = 1) -> Sequence[Prediction]:
        """The answers for a batch of inputs.

        Args:
            items: the inputs.
            first: number of the first one, for the errors.

        Raises:
            UserError: for an input that cannot be read.
        """

    @abstractmethod
    def parse_arguments(self, texts: Sequence[str]) -> list[Item]:
        """The inputs that a command line gives.

        Raises:
            UserError: if they are too few or too many.
        """

    @abstractmethod
    def parse_line(self, line: str, where: str) -> Item:
        """The input that a line of a file is.

        Args:
            line: the line.
            where: file and line, for the error.

        Raises:
            UserError: if it cannot be read.
        """


class TextPredictor(Predictor[str]):
    """Assigns classes to single texts."""

    def parse_arguments(self, texts: Sequence[str]) -> list[str]:
        return list(texts)

    def parse_line(self, line: str, where: str) -> str:
        return line
