"""From token ids to what a recurrent stack takes: learned vectors, one-hot rows, or the raw index."""

import torch
from torch import Tensor, nn

from sluice.options import EMBEDDINGS
from sluice.recurrent import OneHot

INITIAL_STD = 0.1


def make_embedding(
    kind: str,
    *,
    vocab_size: int,
    size: int,
    padding_id: int,
    word_dropout: float,
    initial_std: float = INITIAL_STD,
) -> "Embedding":
    """Builds an embedding by name.

    Raises:
        ValueError: for a name that no embedding has, a size below 1 or a dropout outside [0, 1).
    """
    if kind == "learned":
        return LearnedEmbedding(
            vocab_size=vocab_size,
            size=size,
            padding_id=padding_id,
            word_dropout=word_dropout,
            initial_std=initial_std,
        )
    if kind == "onehot":
        return OneHotEmbedding(vocab_size=vocab_size, word_dropout=word_dropout)
    if kind == "index":
        return IndexEmbedding(vocab_size=vocab_size, word_dropout=word_dropout)
    raise ValueError(f"there is no embedding {kind!r}; there are {', '.join(EMBEDDINGS)}")


class Embedding(nn.Module):
    """Maps ids (B, T) int64 to the input of a recurrent stack of `output_size`.

    Word-type dropout (Gal & Ghahramani 2016, section 4.2): in training, a share of the vocabulary is dropped from the
    whole batch, every occurrence of a word together.
    """

    output_size: int
    one_hot = False

    def __init__(self, *, vocab_size: int, word_dropout: float) -> None:
        super().__init__()
        if not 0 <= word_dropout < 1:
            raise ValueError(f"word_dropout must lie in [0, 1), got {word_dropout}")
        self.vocab_size, self.word_dropout = vocab_size, word_dropout

    def word_scale(self, ids: Tensor, dtype: torch.dtype) -> Tensor | None:
        """(B, T): 0 for dropped word types, 1 / (1 - p) for kept ones; None when nothing is dropped."""
        if not self.training or self.word_dropout == 0:
            return None
        keep = torch.empty(self.vocab_size, dtype=dtype, device=ids.device).bernoulli_(1 - self.word_dropout)
        return (keep / (1 - self.word_dropout))[ids]

    def forward(self, ids: Tensor) -> Tensor | OneHot:
        raise NotImplementedError


class LearnedEmbedding(Embedding):
    """A learned vector of `size` units a word."""

    def __init__(
        self,
        *,
        vocab_size: int,
        size: int,
        padding_id: int,
        word_dropout: float = 0.0,
        initial_std: float = INITIAL_STD,
    ) -> None:
        super().__init__(vocab_size=vocab_size, word_dropout=word_dropout)
        if size < 1:
            raise ValueError(f"the embedding size must be at least 1, got {size}")
        self.output_size = size
        self.table = nn.Embedding(vocab_size, size, padding_idx=padding_id)
        nn.init.normal_(self.table.weight, std=initial_std)
        with torch.no_grad():
            self.table.weight[padding_id].zero_()

    @torch.no_grad()
    def start_from(self, vectors: Tensor) -> None:
        """Takes these vectors (V, size), scaled so that their mean length is that of random ones."""
        self.table.weight.copy_(vectors * (INITIAL_STD * self.output_size**0.5 / vectors.norm(dim=1).mean()))

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, size)."""
        vectors = self.table(ids)
        scale = self.word_scale(ids, vectors.dtype)
        return vectors if scale is None else vectors * scale.unsqueeze(-1)


class OneHotEmbedding(Embedding):
    """One-hot rows, no learned vector in between: the recurrent input weight is the only thing learned of a word."""

    one_hot = True

    def __init__(self, *, vocab_size: int, word_dropout: float = 0.0) -> None:
        super().__init__(vocab_size=vocab_size, word_dropout=word_dropout)
        self.output_size = vocab_size

    def forward(self, ids: Tensor) -> OneHot:
        """(B, T) -> a OneHot of (B, T)."""
        return OneHot(ids, self.vocab_size, self.word_scale(ids, torch.get_default_dtype()))


class IndexEmbedding(Embedding):
    """The raw index, scaled to [0, 1), as a single feature.

    It claims that word 17 lies between 16 and 18, which is why one doesn't; here to show just that.
    """

    output_size = 1

    def __init__(self, *, vocab_size: int, word_dropout: float = 0.0) -> None:
        super().__init__(vocab_size=vocab_size, word_dropout=word_dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, 1)."""
        feature = ids.to(torch.get_default_dtype()) / self.vocab_size
        scale = self.word_scale(ids, feature.dtype)
        return (feature if scale is None else feature * scale).unsqueeze(-1)
