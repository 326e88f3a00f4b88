"""Classes of pairs of texts, with a trained network, and the words that decided."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sluice.data.collate import TextPairBatchMaker
from sluice.data.corpus import TextPair
from sluice.data.text_pairs import LetterSettings, encode_text_pairs, letters_of, new_table
from sluice.errors import UserError
from sluice.inference.classifier import shortened
from sluice.inference.predictor import Predictor
from sluice.models.pair_classifier import PairClassifier, PairClassifierOutput
from sluice.plain import Plain
from sluice.text.tokenizers import make_tokenizer
from sluice.text.truncation import kept_places

WORDS_SHOWN = 4

Pair = tuple[str, str]


@dataclass(frozen=True)
class PairPrediction:
    """The class of a pair."""

    first: str
    second: str
    label: str
    probability: float
    probabilities: dict[str, float]
    """Of every class."""
    words: list[Plain]
    """Every word with its text (1 or 2), its contribution to the margin of the predicted class (see
    `margin_contributions`), and the word of the other text with the largest attention weight; sorted by contribution,
    descending."""

    def as_dict(self) -> Plain:
        """In plain containers."""
        return dict(vars(self))

    def lines(self) -> list[str]:
        """Class, probability and texts; the words that decided."""
        found = [f"{self.label}  {self.probability:.3f}  {shortened(f'{self.first} | {self.second}')}"]
        decided = ", ".join(
            f"{word['word']} {word['moved']:+.2f} (text {word['text']}, beside {word['beside']})"
            for word in self.words[:WORDS_SHOWN]
            if word["moved"] > 0
        )
        return [*found, f"    decided: {decided}"] if decided else found


class PairPredictor(Predictor[Pair]):
    """A trained network of pairs with its classes and tokenizer."""

    def __init__(
        self,
        *,
        network: PairClassifier,
        labels: Sequence[str],
        settings: LetterSettings,
        max_length: int,
        truncation: str,
    ) -> None:
        """
        Args:
            network: in evaluation mode.
            labels: class names; the position is the class id.
            settings: how texts become words and character n-grams.
            max_length: most tokens of a text that are read.
            truncation: which end of a longer text is kept, see `sluice.text.truncation`.
        """
        self.network, self.labels, self.settings = network, tuple(labels), settings
        self.max_length, self.truncation = max_length, truncation
        self.tokenize = make_tokenizer(settings.tokenizer)

    def items_of_arguments(self, texts: Sequence[str]) -> list[Pair]:
        """The two texts of the command line."""
        if len(texts) != 2:
            raise UserError(f"{_counted(len(texts))} given, and this model wants two to compare: give two in quotes")
        return [(texts[0], texts[1])]

    def item_of_line(self, line: str, where: str) -> Pair:
        """Two texts with a tab between them."""
        fields = line.split("\t")
        if len(fields) != 2:
            raise UserError(
                f"{where}: {_counted(len(fields))}, and this model wants two to compare: set two texts apart by one tab"
            )
        return fields[0], fields[1]

    def predict(self, items: Sequence[Pair], first: int = 1) -> list[PairPrediction]:
        """The class of each pair.

        Args:
            items: the pairs; all run through the network together.
            first: number of the first pair, for the error.

        Raises:
            UserError: for a text without a word.
        """
        for number, pair in enumerate(items, start=first):
            for place, text in enumerate(pair, start=1):
                if not self.tokenize(text):
                    raise UserError(f"text {place} of pair {number} is empty: there is no word in it to compare")
        table = new_table()
        split = encode_text_pairs((TextPair(*pair, label=0) for pair in items), self.settings.tokenizer, table)
        letters = letters_of(list(table), self.settings)
        make = TextPairBatchMaker(split, letters, max_length=self.max_length, truncation=self.truncation)
        batch = make(range(len(items)))
        with torch.inference_mode():
            paired: PairClassifierOutput = self.network(batch.ngrams, batch.offsets, batch.places, batch.lengths)
        places, kept = kept_places(split.texts.lengths, self.max_length, self.truncation)
        tokens = [self.tokenize(text) for side in zip(*items, strict=True) for text in side]
        words = [[own[place] for place in row[:length]] for own, row, length in zip(tokens, places, kept, strict=True)]
        moved = torch.cat(paired.margin_contributions().chunk(2, 1))
        return [
            PairPrediction(
                first=pair[0],
                second=pair[1],
                label=self.labels[int(row.argmax())],
                probability=float(row.max()),
                probabilities=dict(zip(self.labels, row.tolist(), strict=True)),
                words=_ranked(words, moved, paired.weights, number, number + len(items)),
            )
            for number, (pair, row) in enumerate(zip(items, paired.logits.softmax(-1), strict=True))
        ]


def _ranked(words: list[list[str]], moved: Tensor, weights: Tensor, first: int, second: int) -> list[Plain]:
    """The words of both texts of a pair, whose rows are given, from the one that moved the logit most."""
    found = [
        {
            "text": text,
            "word": word,
            "moved": float(moved[own, place]),
            "beside": words[other][int(weights[own, place].argmax())],
        }
        for text, own, other in ((1, first, second), (2, second, first))
        for place, word in enumerate(words[own])
    ]
    return sorted(found, key=lambda word: -float(str(word["moved"])))


def _counted(texts: int) -> str:
    return f"{texts} {'text' if texts == 1 else 'texts'}"
