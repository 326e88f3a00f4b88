"""Two texts in, a class out: each word of either is compared with what it stands for in the other."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sluice.layers.attention import DotAttention, Memory
from sluice.layers.char_ngrams import CharNgramEmbedding
from sluice.layers.dropout import VariationalDropout
from sluice.layers.pooling import step_mask
from sluice.recurrent import RecurrentStack


class PairClassifierOutput(NamedTuple):
    """What the pair classifier returns; of 2 B texts the first B are the pairs' first ones."""

    logits: Tensor
    """(B, classes)."""
    contributions: Tensor
    """(2 B, T, classes), what each word's comparison adds to its pair's logits; 0 beyond each length."""
    weights: Tensor
    """(2 B, T, T), how much each word looked at each of the other text; 0 beyond that one's length."""
    mask: Tensor
    """(2 B, T) bool, True on each text's own words."""

    def logit_margins(self) -> Tensor:
        """(B, 2 T) how far each word, the first text's before the second's, moved the predicted class's logit.

        Against the mean of the other classes' logits. The logits are the sum of what the words said, and a bias: this
        is no estimate. Minus infinity beyond each length.
        """
        classes = self.logits.shape[1]
        chosen = self.logits.argmax(1).repeat(2).view(-1, 1, 1).expand(-1, self.contributions.shape[1], 1)
        own = self.contributions.gather(2, chosen).squeeze(2)
        against = (self.contributions.sum(2) - own) / (classes - 1)
        first, second = (own - against).masked_fill(~self.mask, float("-inf")).chunk(2)
        return torch.cat([first, second], 1)


class PairClassifier(nn.Module):
    """One encoder for both texts, attention between them, a comparison for each word, the sum of all of them.

    Parikh et al. (2016), "A decomposable attention model for natural language inference", arXiv 1606.01933, section 3,
    with the comparison [a; b; |a - b|; a · b] after Chen et al. (2017), "Enhanced LSTM for natural language inference",
    arXiv 1609.06038, equations 14 and 15. A word looks for its counterpart, and is compared with it, by its own vector;
    the encoder's output at the word stands beside the comparison and says how much it matters there. Were encoded
    neighbours compared too, a word could speak for the one beside it. The output layer is linear in the sum over the
    words (the first paper's H without its hidden layer), so that what each word did to the logits is exact. Either
    order of the two texts gives the same answer.
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
            embedding: words to the stack's input.
            recurrent: the stack; its input size is the embedding's output size.
            num_classes: classes, two or more.
            size: units of the attention and of each comparison.
            input_dropout: variational dropout on the words' vectors.
            output_dropout: variational dropout on the stack's outputs.

        Raises:
            ValueError: for a dropout outside [0, 1), no unit, or fewer than two classes.
        """
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"a classifier needs two classes or more, got {num_classes}")
        if size < 1:
            raise ValueError(f"the comparison must have at least 1 unit, got {size}")
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
        """Names of the parameters whose rows are a vocabulary's words: there are none."""
        return ()

    def forward(self, ngrams: Tensor, offsets: Tensor, places: Tensor, lengths: Tensor) -> PairClassifierOutput:
        """
        Args:
            ngrams: (N,) int64, n-grams of the batch's different words, see CharNgramEmbedding.
            offsets: (W + 1,) int64, where each word's begin.
            places: (2 B, T) int64, which of the W words stands where; first texts before second ones.
            lengths: (2 B,) int64 on the CPU.
        """
        words = self.input_dropout(self.embedding(ngrams, offsets)[places])
        outputs = self.output_dropout(self.recurrent(words, lengths).outputs)
        mask = step_mask(lengths, places.shape[1], places.device)
        queries = self.query(words)
        other, weights = self.attention(queries, Memory(*map(_swapped, (words, queries, mask))))
        compared = self.compare(torch.cat([words, other, (words - other).abs(), words * other, outputs], -1))
        compared = compared * mask.unsqueeze(-1)
        first, second = compared.sum(1).chunk(2)
        return PairClassifierOutput(self.output(first + second), compared @ self.output.weight.T, weights, mask)


def _swapped(texts: Tensor) -> Tensor:
    """(2 B, ...), the second texts before the first."""
    return texts.roll(len(texts) // 2, 0)
