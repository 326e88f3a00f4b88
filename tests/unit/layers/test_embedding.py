"""Embeddings: features per kind, and word dropout."""

import pytest
import torch
from torch import Tensor

from sluice.layers.embedding import Embedding, LearnedEmbedding, make_embedding
from sluice.options import EMBEDDINGS
from sluice.recurrent import OneHot

torch.set_num_threads(1)  # these tensors are tiny: threads only wait for each other

WORDS, SIZE, PADDING = 400, 6, 3
every_kind = pytest.mark.parametrize("kind", EMBEDDINGS)


def embedding(kind: str, word_dropout: float = 0.0) -> Embedding:
    return make_embedding(kind, vocab_size=WORDS, size=SIZE, padding_id=PADDING, word_dropout=word_dropout)


def all_words_twice() -> Tensor:
    """(2, WORDS): every word once in each row, in another order; the padding id left out."""
    words = torch.tensor([word for word in range(1, WORDS) if word != PADDING])
    return torch.stack([words, words.flip(0)])


@pytest.mark.parametrize("std", [0.1, 0.5])
def test_pretrained_vectors_get_the_norm_of_random_ones(std: float) -> None:
    made = LearnedEmbedding(vocab_size=WORDS, size=SIZE, padding_id=PADDING, initial_std=std)
    made.load_pretrained(3 * torch.randn(WORDS, SIZE))
    assert made.table.weight.norm(dim=1).mean().item() == pytest.approx(std * SIZE**0.5, rel=1e-5)


def dense(features: Tensor | OneHot) -> Tensor:
    return features.materialise() if isinstance(features, OneHot) else features


def scales(embedding: Embedding, ids: Tensor) -> Tensor:
    """(B, T): the ratio of each token's vector in training to that in evaluation."""
    in_training, plain = dense(embedding.train()(ids)), dense(embedding.eval()(ids))
    scale = in_training.sum(-1) / plain.sum(-1)
    torch.testing.assert_close(in_training, plain * scale.unsqueeze(-1))
    return scale


@every_kind
def test_output_size_matches_the_features(kind: str) -> None:
    built = embedding(kind)
    features = built(torch.tensor([[1, 2, 4], [5, 6, 7]]))
    assert isinstance(features, OneHot) == built.one_hot
    assert dense(features).shape == (2, 3, built.output_size)


@every_kind
@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_word_dropout_drops_all_occurrences_and_rescales(kind: str, probability: float) -> None:
    torch.manual_seed(0)
    scale = scales(embedding(kind, probability), all_words_twice())
    torch.testing.assert_close(scale[0], scale[1].flip(0))
    dropped = scale[0] == 0
    torch.testing.assert_close(scale[0][~dropped], torch.full_like(scale[0][~dropped], 1 / (1 - probability)))
    assert abs(dropped.float().mean() - probability) < 0.1


@every_kind
def test_word_dropout_is_redrawn_in_every_call(kind: str) -> None:
    built = embedding(kind, 0.5)
    first, second = (scales(built, all_words_twice()) for _ in range(2))
    assert not torch.equal(first, second)


@every_kind
def test_nothing_is_dropped_in_evaluation_or_at_zero(kind: str) -> None:
    ids, dropping, plain = all_words_twice(), embedding(kind, 0.5), embedding(kind)
    plain.load_state_dict(dropping.state_dict())
    expected = dense(plain.eval()(ids))
    assert torch.equal(dense(dropping.eval()(ids)), expected)
    assert torch.equal(dense(plain.train()(ids)), expected)


def test_learned_vectors_are_rows_of_the_table() -> None:
    built = embedding("learned")
    assert torch.equal(built(torch.tensor([[5, 1]])), built.table.weight[[5, 1]].unsqueeze(0))
    assert 0.08 < built.table.weight.std() < 0.12


def test_padding_vector_is_zero_and_stays_so() -> None:
    built = embedding("learned")
    vectors = built(torch.tensor([[PADDING, 5], [7, PADDING]]))
    assert (vectors[[0, 1], [0, 1]] == 0).all()
    vectors.sum().backward()
    gradient = built.table.weight.grad
    assert (gradient[PADDING] == 0).all()
    assert (gradient[[5, 7]] == 1).all()


def test_one_hot_rows_hold_a_one_at_the_id() -> None:
    rows = dense(embedding("onehot")(torch.tensor([[5, 1]])))
    assert rows.nonzero().tolist() == [[0, 0, 5], [0, 1, 1]]
    assert rows.sum() == 2


def test_index_is_the_id_between_zero_and_one() -> None:
    feature = embedding("index")(torch.tensor([[0, WORDS // 2, WORDS - 1]]))
    assert feature.tolist() == [[[0.0], [0.5], [pytest.approx((WORDS - 1) / WORDS)]]]


def test_unknown_kind_error_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"'one-hot'.*learned, onehot, index"):
        embedding("one-hot")


@every_kind
@pytest.mark.parametrize("probability", [-0.1, 1.0])
def test_invalid_word_dropout_is_refused(kind: str, probability: float) -> None:
    with pytest.raises(ValueError, match=rf"word_dropout.*{probability}"):
        embedding(kind, probability)


def test_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        make_embedding("learned", vocab_size=WORDS, size=0, padding_id=0, word_dropout=0.0)
