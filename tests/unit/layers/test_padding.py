"""Left and right padding give the same results in a network that knows the lengths."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sluice.layers.embedding import make_embedding
from sluice.layers.padding import move_padding
from sluice.models.classifier import TextClassifier
from sluice.recurrent import RecurrentStack

ROWS = [[1, 2, 3], [4], [5, 6, 7, 8], [9, 8]]
LENGTHS = torch.tensor([len(row) for row in ROWS])
RIGHT = torch.tensor([row + [0] * (5 - len(row)) for row in ROWS])
LEFT = torch.tensor([[0] * (5 - len(row)) + row for row in ROWS])


def test_move_padding_matches_an_example() -> None:
    assert torch.equal(move_padding(LEFT, LENGTHS, to="right"), RIGHT)
    assert torch.equal(move_padding(RIGHT, LENGTHS, to="left"), LEFT)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 3))
def test_move_padding_round_trip(lengths: list[int], surplus: int) -> None:
    own = torch.tensor(lengths)
    inputs = torch.randn(len(lengths), max(lengths) + surplus, 2)
    assert torch.equal(move_padding(move_padding(inputs, own, to="left"), own, to="right"), inputs)


def logits_and_gradients(ids: Tensor) -> tuple[Tensor, list[Tensor]]:
    torch.manual_seed(2)
    words = make_embedding("onehot", vocab_size=10, size=1, padding_id=0, word_dropout=0.0)
    stack = RecurrentStack(cell="lstm", input_size=10, hidden_size=4, one_hot=True, bidirectional=True)
    network = TextClassifier(embedding=words, recurrent=stack, num_classes=3, pooling="last")
    logits = network(ids, LENGTHS).logits
    logits.square().sum().backward()
    return logits, [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


def test_moved_padding_gives_equal_logits_and_gradients() -> None:
    right, right_gradients = logits_and_gradients(RIGHT)
    left, left_gradients = logits_and_gradients(move_padding(LEFT, LENGTHS, to="right"))
    assert torch.equal(left, right)
    assert all(map(torch.equal, left_gradients, right_gradients))
    unaware, _ = logits_and_gradients(LEFT)
    assert not torch.allclose(unaware, right)


def test_unknown_padding_side_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown padding 'middle': expected one of left, right"):
        move_padding(RIGHT, LENGTHS, to="middle")


@pytest.mark.parametrize("embedding", ["onehot", "learned"])
def test_classifier_accepts_left_padding(embedding: str) -> None:
    results = []
    for side, ids in (("right", RIGHT), ("left", LEFT)):
        torch.manual_seed(2)
        words = make_embedding(embedding, vocab_size=10, size=3, padding_id=0, word_dropout=0.0)
        stack = RecurrentStack(cell="gru", input_size=words.output_size, hidden_size=4, one_hot=words.one_hot)
        network = TextClassifier(embedding=words, recurrent=stack, num_classes=3, pooling="last", padding=side)
        logits = network(ids, LENGTHS).logits
        logits.square().sum().backward()
        results.append([logits, *(parameter.grad for parameter in network.parameters())])
    for right, left in zip(*results, strict=True):
        torch.testing.assert_close(left, right)
        assert right.any()


def test_classifier_refuses_an_unknown_padding_side() -> None:
    words = make_embedding("onehot", vocab_size=10, size=1, padding_id=0, word_dropout=0.0)
    stack = RecurrentStack(cell="gru", input_size=10, hidden_size=4, one_hot=True)
    with pytest.raises(ValueError, match="unknown padding 'middle': expected one of left, right"):
        TextClassifier(embedding=words, recurrent=stack, num_classes=3, padding="middle")
