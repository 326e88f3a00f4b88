"""Encoding and decoding of text for language models."""

from collections.abc import Sequence

from sluice.text.tokenizers import END_OF_LINE, detokenize, make_tokenizer
from sluice.text.vocab import PADDING_ID, UNKNOWN_ID, Vocab


class LanguageText:
    """Encodes prompts and decodes generated ids with the vocabulary and tokenizer of a language model.

    Example:
        >>> text = LanguageText(Vocab(["<unk>", "<pad>", "<eos>", "the", "film", "."]), "words")
        >>> text.prompt_ids("The film.")
        [2, 3, 4, 5]
        >>> text.join([3, 4, 5])
        'the film.'
    """

    def __init__(self, vocab: Vocab, tokenizer: str) -> None:
        """
        Args:
            vocab: the vocabulary.
            tokenizer: name of the tokenizer. For "whitespace", whose corpora are already tokenised, prompts are
                tokenised by "words".

        Raises:
            ValueError: for an unknown tokenizer.
        """
        self.vocab, self.char_level = vocab, tokenizer == "chars"
        self._tokenize = make_tokenizer("words" if tokenizer == "whitespace" else tokenizer)
        self.end_id = vocab.encode([END_OF_LINE])[0]

    @property
    def banned_ids(self) -> tuple[int, ...]:
        """Ids that must not be generated."""
        return (PADDING_ID,)

    def tokens(self, text: str) -> list[str]:
        """Tokenises a text; line breaks become `END_OF_LINE`, words known only in lower case are lower-cased."""
        found: list[str] = []
        for number, line in enumerate(text.split("\n")):
            if number:
                found.append(END_OF_LINE)
            found.extend(self._match_case(token) for token in self._tokenize(line))
        return found

    def prompt_ids(self, text: str) -> list[int]:
        """Returns the ids of a prompt, preceded by `END_OF_LINE`."""
        return [self.end_id, *self.vocab.encode(self.tokens(text))]

    def unknown(self, text: str) -> list[str]:
        """Returns the words of a text that are not in the vocabulary."""
        return [token for token in self.tokens(text) if self.vocab.encode([token])[0] == UNKNOWN_ID]

    def join(self, ids: Sequence[int]) -> str:
        """Decodes and detokenises ids."""
        tokens = self.vocab.decode(ids)
        if self.char_level:
            return "".join("\n" if token == END_OF_LINE else token for token in tokens)
        return detokenize(tokens)

    def _match_case(self, token: str) -> str:
        return token.lower() if token not in self.vocab and token.lower() in self.vocab else token
