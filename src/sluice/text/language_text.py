"""A language model's way from a text to ids and back."""

from collections.abc import Sequence

from sluice.text.tokenizers import END_OF_LINE, detokenize, make_tokenizer
from sluice.text.vocab import PADDING_ID, UNKNOWN_ID, Vocab


class LanguageText:
    """The vocabulary of a language model with the tokenizer that made it."""

    def __init__(self, vocab: Vocab, tokenizer: str) -> None:
        """
        Args:
            vocab: the words it knows.
            tokenizer: its name; with "whitespace", whose corpora have punctuation set apart already, new texts are cut
                by "words".

        Raises:
            ValueError: for a tokenizer that doesn't exist.
        """
        self.vocab, self.char_level = vocab, tokenizer == "chars"
        self._cut = make_tokenizer("words" if tokenizer == "whitespace" else tokenizer)
        self.end_id = vocab.encode([END_OF_LINE])[0]

    @property
    def banned_ids(self) -> tuple[int, ...]:
        """Ids that stand for no text."""
        return (PADDING_ID,)

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text; line ends are tokens. Words known only in lower case are lowered."""
        found: list[str] = []
        for number, line in enumerate(text.split("\n")):
            if number:
                found.append(END_OF_LINE)
            found.extend(self._known(token) for token in self._cut(line))
        return found

    def prompt_ids(self, text: str) -> list[int]:
        """Ids of a text that is to be continued: the end of a line, as if one went before, and the text's own."""
        return [self.end_id, *self.vocab.encode(self.tokens(text))]

    def unknown(self, text: str) -> list[str]:
        """The words of a text that the model doesn't know."""
        return [token for token in self.tokens(text) if self.vocab.encode([token])[0] == UNKNOWN_ID]

    def join(self, ids: Sequence[int]) -> str:
        """The text of the ids as people write it."""
        tokens = self.vocab.decode(ids)
        if self.char_level:
            return "".join("\n" if token == END_OF_LINE else token for token in tokens)
        return detokenize(tokens)

    def _known(self, token: str) -> str:
        return token.lower() if token not in self.vocab and token.lower() in self.vocab else token
