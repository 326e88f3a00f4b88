"""Embeddings of token ids: learned vectors, one-hot rows, or the raw index."""

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

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

    Example:
        >>> embedding = make_embedding("learned", vocab_size=100, size=8, padding_id=0, word_dropout=0.1)
        >>> embedding(torch.tensor([[4, 7, 0], [5, 0, 0]])).shape
        torch.Size([2, 3, 8])

    Args:
        kind: one of `EMBEDDINGS`.
        vocab_size: V.
        size: units of a learned vector.
        padding_id: id whose learned vector is zero.
        word_dropout: dropout probability of a word.
        initial_std: standard deviation of the initial learned vectors.

    Raises:
        ValueError: for an unknown name, a size below 1 or a dropout outside [0, 1).
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
    raise ValueError(f"unknown embedding {kind!r}: expected one of {', '.join(EMBEDDINGS)}")


class Embedding(nn.Module):
    """Base class: maps ids (B, T) int64 to the inputs of a recurrent stack, of `output_size`.

    Word dropout (Gal & Ghahramani 2016, section 4.2): in training, random words of the vocabulary are dropped, each
    with all its occurrences in the batch.
    """

    output_size: int
    one_hot = False

    def __init__(self, *, vocab_size: int, word_dropout: float) -> None:
        super().__init__()
        if not 0 <= word_dropout < 1:
            raise ValueError(f"word_dropout must lie in [0, 1), got {word_dropout}")
        self.vocab_size, self.word_dropout = vocab_size, word_dropout

    def word_dropout_scale(self, ids: Tensor, dtype: torch.dtype) -> Tensor | None:
        """Returns the dropout mask (B, T), 0 for dropped words and 1 / (1 - p) for kept ones; None without dropout."""
        if not self.training or self.word_dropout == 0:
            return None
        kept = torch.empty(self.vocab_size, dtype=dtype, device=ids.device).bernoulli_(1 - self.word_dropout)
        return (kept / (1 - self.word_dropout))[ids]

    def forward(self, ids: Tensor) -> Tensor | OneHot:
        """(B, T) int64 -> (B, T, output_size)."""
        raise NotImplementedError


class LearnedEmbedding(Embedding):
    """A learned vector of `size` units for each word."""

    def __init__(
        self,
        *,
        vocab_size: int,
        size: int,
        padding_id: int,
        word_dropout: float = 0.0,
        initial_std: float = INITIAL_STD,
    ) -> None:
        """Arguments as in `make_embedding`."""
        super().__init__(vocab_size=vocab_size, word_dropout=word_dropout)
        if size < 1:
            raise ValueError(f"the embedding size must be at least 1, got {size}")
        self.output_size, self.initial_std = size, initial_std
        self.table = nn.Embedding(vocab_size, size, padding_idx=padding_id)
        nn.init.normal_(self.table.weight, std=initial_std)
        with torch.no_grad():
            self.table.weight[padding_id].zero_()

    @torch.no_grad()
    def load_pretrained(self, vectors: Tensor) -> None:
        """Copies pretrained vectors (V, size), rescaled to the mean norm of randomly initialised ones."""
        self.table.weight.copy_(vectors * (self.initial_std * self.output_size**0.5 / vectors.norm(dim=1).mean()))

    def forward(self, ids: Tensor, table: Tensor | None = None) -> Tensor:
        """(B, T) -> (B, T, size).

        Args:
            ids: (B, T) int64.
            table: (V, size) vectors that get a sparse gradient, see `split_uses`; None for the module's own.
        """
        padding_id = self.table.padding_idx
        vectors = self.table(ids) if table is None else F.embedding(ids, table, padding_id, sparse=True)
        scale = self.word_dropout_scale(ids, vectors.dtype)
        return vectors if scale is None else vectors * scale.unsqueeze(-1)


def split_uses(table: Tensor) -> tuple[Tensor, Tensor]:
    """Returns a table twice, for looking up rows with a sparse gradient and for any other use.

    The sparse gradient is added to the other one in place. Autograd would allocate a gradient of the table's size for
    each use.
    """
    rows, whole = _SplitUses.apply(table)
    return rows, whole


class _SplitUses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, table: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        return table.view_as(table), table.view_as(table)

    @staticmethod
    def backward(ctx: FunctionCtx, rows: Tensor | None, whole: Tensor | None) -> Tensor | None:
        if rows is None or whole is None:
            return whole if rows is None else rows.to_dense()
        in_place = whole.is_contiguous() and not torch.is_grad_enabled()  # an expanded gradient shares its memory
        return whole.add_(rows) if in_place else whole + rows


class OneHotEmbedding(Embedding):
    """One-hot rows, without learned vectors; the recurrent input weights are the only parameters of a word."""

    one_hot = True

    def __init__(self, *, vocab_size: int, word_dropout: float = 0.0) -> None:
        super().__init__(vocab_size=vocab_size, word_dropout=word_dropout)
        self.output_size = vocab_size

    def forward(self, ids: Tensor) -> OneHot:
        """(B, T) -> OneHot of (B, T)."""
        return OneHot(ids, self.vocab_size, self.word_dropout_scale(ids, torch.get_default_dtype()))


class IndexEmbedding(Embedding):
    """The raw index, scaled to [0, 1), as a single feature.

    A baseline for demonstration: it imposes an arbitrary order on the words.
    """

    output_size = 1

    def __init__(self, *, vocab_size: int, word_dropout: float = 0.0) -> None:
        super().__init__(vocab_size=vocab_size, word_dropout=word_dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, 1)."""
        feature = ids.to(torch.get_default_dtype()) / self.vocab_size
        scale = self.word_dropout_scale(ids, feature.dtype)
        return (feature if scale is None else feature * scale).unsqueeze(-1)
