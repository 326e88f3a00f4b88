"""Encoding and decoding of text for language models."""

from collections.abc import Sequence

from sluice.errors import UserError
from sluice.text.tokenizers import END_OF_LINE, detokenize, given_tokenizer, make_tokenizer
from sluice.text.vocab import PADDING_ID, UNKNOWN_ID, Vocab


class LanguageText:
    """Encodes prompts and decodes continuations with the vocabulary and tokenizer of a language model.

    Example:
        >>> text = LanguageText(Vocab(["<unk>", "<pad>", "<eos>", "the", "film", ".", "ends"]), "words")
        >>> text.prompt_ids("The film.")
        [2, 3, 4, 5]
        >>> text.append("The movie", [6, 5])
        'The movie ends.'
    """

    def __init__(self, vocab: Vocab, tokenizer: str) -> None:
        """
        Args:
            vocab: the vocabulary.
            tokenizer: name of the tokenizer of the training text. For "whitespace", whose corpora are already
                tokenised, raw text is tokenised by "words", except for the words of the vocabulary.

        Raises:
            ValueError: for an unknown tokenizer.
        """
        self.vocab, self.char_level, self.trained_on_tokenized = vocab, tokenizer == "chars", tokenizer == "whitespace"
        self.raw_tokenizer = given_tokenizer("words", tokenizer, tokenized=False)
        self._tokenize_raw = make_tokenizer(self.raw_tokenizer)
        self.end_id = vocab.encode([END_OF_LINE])[0]

    @property
    def banned_ids(self) -> tuple[int, ...]:
        """Ids that are never generated or suggested."""
        return (PADDING_ID,)

    def check(self, tokenized: bool) -> None:
        """Checks whether the model can read tokenised text.

        Raises:
            UserError: for tokenised text and a model of characters.
        """
        if tokenized and self.char_level:
            raise UserError("a model of characters reads text as it is: leave out --tokenized (tokenized=True)")

    def tokenize(self, line: str, tokenized: bool) -> list[str]:
        """Tokenises a line.

        Args:
            line: the line.
            tokenized: whether it is already tokenised, and only split at white space.

        Raises:
            UserError: see `check`.
        """
        self.check(tokenized)
        if tokenized:
            return line.split()
        if not self.trained_on_tokenized:
            return self._tokenize_raw(line)
        pieces = line.split()
        return [token for piece in pieces for token in ([piece] if self._known(piece) else self._tokenize_raw(piece))]

    def tokens(self, text: str, tokenized: bool = False) -> list[str]:
        """Tokenises a typed text; line breaks become `END_OF_LINE`, words known only in lower case are lower-cased."""
        found: list[str] = []
        for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", " ").split("\n")):
            if number:
                found.append(END_OF_LINE)
            found.extend(self._match_case(token) for token in self.tokenize(line, tokenized))
        return found

    def prompt_ids(self, text: str, tokenized: bool = False) -> list[int]:
        """Returns the ids of a prompt, preceded by `END_OF_LINE`."""
        return [self.end_id, *self.vocab.encode(self.tokens(text, tokenized))]

    def unknown(self, text: str, tokenized: bool = False) -> list[str]:
        """Returns the words of a text that are not in the vocabulary."""
        return [token for token in self.tokens(text, tokenized) if self.vocab.encode([token])[0] == UNKNOWN_ID]

    def append(self, prompt: str, ids: Sequence[int], tokenized: bool = False) -> str:
        """Returns a prompt, unchanged, followed by its continuation, detokenised.

        Args:
            prompt: the prompt.
            ids: ids of the continuation.
            tokenized: whether the prompt is already tokenised.
        """
        added = self.vocab.decode(ids)
        if self.char_level:
            return prompt + "".join("\n" if token == END_OF_LINE else token for token in added)
        line = self.tokens(prompt, tokenized)
        while END_OF_LINE in line:
            line = line[line.index(END_OF_LINE) + 1 :]
        before, both = detokenize(line), detokenize([*line, *added])
        continuation = both.removeprefix(before) if both.startswith(before) else f" {detokenize(added)}"
        return prompt + (continuation.removeprefix(" ") if prompt[-1:].isspace() else continuation)

    def _known(self, token: str) -> bool:
        return token in self.vocab or token.lower() in self.vocab

    def _match_case(self, token: str) -> str:
        return token.lower() if token not in self.vocab and token.lower() in self.vocab else token
