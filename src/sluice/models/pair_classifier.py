"""Classification of text pairs by aligning and comparing their words."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sluice.layers.attention import DotAttention, Memory
from sluice.layers.char_ngrams import CharNgramEmbedding
from sluice.layers.dropout import VariationalDropout
from sluice.layers.pooling import step_mask
from sluice.recurrent import RecurrentStack


class PairClassifierOutput(NamedTuple):
    """Output of PairClassifier; the first B of the 2 B texts are the first texts of the pairs."""

    logits: Tensor
    """(B, classes)."""
    contributions: Tensor
    """(2 B, T, classes), contribution of each word to the logits of its pair; 0 beyond each length."""
    weights: Tensor
    """(2 B, T, T), attention weights of each word over the other text; 0 beyond the length of that text."""
    mask: Tensor
    """(2 B, T) bool, True for the words of each text."""

    def margin_contributions(self) -> Tensor:
        """Returns the contribution of each word to the margin of the predicted class, (B, 2 T), first text first.

        The margin is the logit minus the mean of the other logits. The contributions are exact, since the logits are
        the sum of the words' contributions and a bias. Minus infinity beyond each length.
        """
        classes = self.logits.shape[1]
        chosen = self.logits.argmax(1).repeat(2).view(-1, 1, 1).expand(-1, self.contributions.shape[1], 1)
        predicted = self.contributions.gather(2, chosen).squeeze(2)
        others = (self.contributions.sum(2) - predicted) / (classes - 1)
        first, second = (predicted - others).masked_fill(~self.mask, float("-inf")).chunk(2)
        return torch.cat([first, second], 1)


class PairClassifier(nn.Module):
    """One encoder for both texts, attention between them, a comparison per word, and a sum over the words.

    Parikh et al. (2016), "A decomposable attention model for natural language inference", arXiv 1606.01933, section 3,
    with the comparison [a; b; |a - b|; a · b] of Chen et al. (2017), "Enhanced LSTM for natural language inference",
    arXiv 1609.06038, equations 14 and 15. Words are aligned and compared by their embeddings, not by encoder outputs,
    which would mix in neighbouring words; the encoder output is concatenated to the comparison as its context. The
    output layer is linear in the sum over the words (H of the first paper without its hidden layer), so that the
    contribution of each word to the logits is exact. The result does not depend on the order of the two texts.
    """

    def __init__(
        self,
        *,
        embedding: CharNgramEmbedding,
        recurrent: RecurrentStack,
        num_classes: int,
        size: int,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
    ) -> None:
        """
        Args:
            embedding: maps words to the input of the stack.
            recurrent: recurrent stack; its input size is the output size of the embedding.
            num_classes: number of classes, at least 2.
            size: hidden size of the attention and of the comparison.
            input_dropout: variational dropout on the embedded words.
            output_dropout: variational dropout on the outputs of the stack.

        Raises:
            ValueError: for a dropout outside [0, 1), a size below 1, or fewer than 2 classes.
        """
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {num_classes}")
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.embedding, self.recurrent = embedding, recurrent
        self.input_dropout = VariationalDropout(input_dropout)
        self.output_dropout = VariationalDropout(output_dropout)
        self.query = nn.Linear(embedding.output_size, size)
        self.attention = DotAttention(size, size, scaled=True)
        compared = 4 * embedding.output_size + recurrent.output_size
        self.compare = nn.Sequential(nn.Linear(compared, size), nn.ReLU(), nn.Linear(size, size), nn.ReLU())
        self.output = nn.Linear(size, num_classes)

    @property
    def word_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that have one row per vocabulary word: none."""
        return ()

    def forward(self, ngrams: Tensor, offsets: Tensor, word_index: Tensor, lengths: Tensor) -> PairClassifierOutput:
        """Classifies pairs of texts.

        Args:
            ngrams: (N,) int64, n-grams of the W distinct words of the batch, see CharNgramEmbedding.
            offsets: (W + 1,) int64, start of the n-grams of each word.
            word_index: (2 B, T) int64, indices into the W words; first texts before second texts.
            lengths: (2 B,) int64 on the CPU.
        """
        words = self.input_dropout(self.embedding(ngrams, offsets)[word_index])
        outputs = self.output_dropout(self.recurrent(words, lengths).outputs)
        mask = step_mask(lengths, word_index.shape[1], word_index.device)
        queries = self.query(words)
        aligned, weights = self.attention(queries, Memory(*map(_swap_texts, (words, queries, mask))))
        compared = self.compare(torch.cat([words, aligned, (words - aligned).abs(), words * aligned, outputs], -1))
        compared = compared * mask.unsqueeze(-1)
        first, second = compared.sum(1).chunk(2)
        return PairClassifierOutput(self.output(first + second), compared @ self.output.weight.T, weights, mask)


def _swap_texts(texts: Tensor) -> Tensor:
    """Moves the second texts before the first ones, (2 B, ...)."""
    return texts.roll(len(texts) // 2, 0)
