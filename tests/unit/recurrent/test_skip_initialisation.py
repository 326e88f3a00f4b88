"""Networks whose weights are loaded are built without random initialisation."""

import pytest
import torch
from torch import nn

from sluice.layers.embedding import LearnedEmbedding
from sluice.recurrent import CELLS, RecurrentStack
from sluice.recurrent.initialisers import SkipInitialisation


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "lstm_layernorm", "lstm_peephole"])
def test_loaded_weights_are_those_of_the_state(cell: str) -> None:
    assert cell in CELLS
    torch.manual_seed(1)
    whole = RecurrentStack(cell=cell, input_size=3, hidden_size=4, num_layers=2, bidirectional=True)
    before = torch.get_rng_state()
    with SkipInitialisation():
        empty = RecurrentStack(cell=cell, input_size=3, hidden_size=4, num_layers=2, bidirectional=True)
        LearnedEmbedding(vocab_size=9, size=4, padding_id=1)
    assert torch.equal(torch.get_rng_state(), before), "no random numbers are drawn"
    empty.load_state_dict(whole.state_dict())
    inputs, lengths = torch.randn(2, 5, 3), torch.tensor([5, 3])
    assert torch.equal(empty.eval()(inputs, lengths).outputs, whole.eval()(inputs, lengths).outputs)


def test_shapes_need_no_memory() -> None:
    with torch.device("meta"), SkipInitialisation():
        stack = RecurrentStack(cell="lstm", input_size=3, hidden_size=10**6)
        layer = nn.Linear(10**6, 10**6)
    assert layer.weight.shape == (10**6, 10**6)
    assert {parameter.device.type for parameter in stack.parameters()} == {"meta"}
