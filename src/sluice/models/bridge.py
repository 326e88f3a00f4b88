"""From what an encoder ends with to what a decoder begins with."""

import torch
from torch import Tensor, nn

from sluice.options import BRIDGES
from sluice.recurrent import RecurrentStack, State


def make_bridge(kind: str, encoder: RecurrentStack, decoder: RecurrentStack) -> "Bridge":
    """Builds a bridge by name.

    Raises:
        ValueError: for a name that no bridge has, or sizes that "last" cannot hand over.
    """
    kinds = {"zeros": ZerosBridge, "last": LastBridge, "learned": LearnedBridge}
    if kind not in kinds:
        raise ValueError(f"there is no bridge {kind!r}; there are {', '.join(BRIDGES)}")
    return kinds[kind](encoder, decoder)


class Bridge(nn.Module):
    """The encoder's final state to the decoder's first one."""

    def __init__(self, encoder: RecurrentStack, decoder: RecurrentStack) -> None:
        super().__init__()
        self.directions, self.layers = encoder.directions, decoder.num_layers
        self.hidden_size, self.state_type = decoder.hidden_size, decoder.state_type

    def forward(self, state: State) -> State:
        """
        Args:
            state: the encoder's final state, tensors (encoder layers · directions, B, H).

        Returns:
            The decoder's first state, tensors (layers, B, H).
        """
        raise NotImplementedError

    def sides(self, tensor: Tensor) -> Tensor:
        """(encoder layers · directions, B, H) -> (encoder layers, B, directions · H), both directions side by side."""
        layers = tensor.unflatten(0, (-1, self.directions))
        return torch.cat(layers.unbind(1), -1)


class ZerosBridge(Bridge):
    """The decoder begins with zeros: all it learns of the source comes through the attention."""

    def forward(self, state: State) -> State:
        zeros = state.hidden.new_zeros(self.layers, state.hidden.shape[1], self.hidden_size)
        return self.state_type(*(zeros for _ in self.state_type._fields))


class LastBridge(Bridge):
    """Each layer begins where the encoder's layer ended (Sutskever, Vinyals & Le 2014, arXiv 1409.3215).

    The upper layers are matched where the decoder has fewer. A cell state that the encoder doesn't have is zero.
    """

    def __init__(self, encoder: RecurrentStack, decoder: RecurrentStack) -> None:
        super().__init__(encoder, decoder)
        if encoder.output_size != decoder.hidden_size or encoder.num_layers < decoder.num_layers:
            raise ValueError(
                f"bridge=last hands {encoder.num_layers} layers of {encoder.output_size} units (both directions count) "
                f"to {decoder.num_layers} of {decoder.hidden_size}: make them equal, or choose learned or zeros"
            )

    def forward(self, state: State) -> State:
        there = state._asdict()
        zeros = torch.zeros_like(self.sides(state.hidden))
        whole = (self.sides(there[name]) if name in there else zeros for name in self.state_type._fields)
        return self.state_type(*(tensor[-self.layers :] for tensor in whole))


class LearnedBridge(Bridge):
    """tanh(W s + b) for each layer and part of the state (Bahdanau, Cho & Bengio 2015, arXiv 1409.0473, A.2.2).

    s is the whole final state of the encoder's top layer.
    """

    def __init__(self, encoder: RecurrentStack, decoder: RecurrentStack) -> None:
        super().__init__(encoder, decoder)
        given = len(encoder.state_type._fields) * encoder.output_size
        self.parts = len(decoder.state_type._fields)
        self.map = nn.Linear(given, self.parts * self.layers * self.hidden_size)

    def forward(self, state: State) -> State:
        top = torch.cat([self.sides(tensor)[-1] for tensor in state], -1)
        made = torch.tanh(self.map(top)).unflatten(-1, (self.parts, self.layers, self.hidden_size))
        return self.state_type(*made.permute(1, 2, 0, 3).unbind(0))
