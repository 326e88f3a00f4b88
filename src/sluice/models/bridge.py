"""Bridges: from the final state of an encoder to the initial state of a decoder."""

import torch
from torch import Tensor, nn

from sluice.options import BRIDGES
from sluice.recurrent import RecurrentStack, State


def make_bridge(kind: str, encoder: RecurrentStack, decoder: RecurrentStack) -> "Bridge":
    """Creates a bridge by name.

    Args:
        kind: "zeros", "last" or "learned".
        encoder: stack of the encoder.
        decoder: stack of the decoder.

    Raises:
        ValueError: if the name is unknown, or "last" is used with sizes that do not match.
    """
    kinds = {"zeros": ZerosBridge, "last": LastBridge, "learned": LearnedBridge}
    if kind not in kinds:
        raise ValueError(f"unknown bridge {kind!r}: expected one of {', '.join(BRIDGES)}")
    return kinds[kind](encoder, decoder)


class Bridge(nn.Module):
    """Base class: maps the final encoder state to the initial decoder state."""

    def __init__(self, encoder: RecurrentStack, decoder: RecurrentStack) -> None:
        super().__init__()
        self.directions, self.layers = encoder.directions, decoder.num_layers
        self.hidden_size, self.state_type = decoder.hidden_size, decoder.state_type

    def forward(self, state: State) -> State:
        """Returns the initial state of the decoder.

        Args:
            state: the encoder's final state, tensors (encoder layers · directions, B, H).

        Returns:
            The decoder's initial state, tensors (layers, B, H).
        """
        raise NotImplementedError

    def merge_directions(self, tensor: Tensor) -> Tensor:
        """(encoder layers · directions, B, H) -> (encoder layers, B, directions · H), directions concatenated."""
        layers = tensor.unflatten(0, (-1, self.directions))
        return torch.cat(layers.unbind(1), -1)


class ZerosBridge(Bridge):
    """Zeros: the source reaches the decoder through attention only."""

    def forward(self, state: State) -> State:
        zeros = state.hidden.new_zeros(self.layers, state.hidden.shape[1], self.hidden_size)
        return self.state_type(*(zeros for _ in self.state_type._fields))


class LastBridge(Bridge):
    """The final state of each encoder layer (Sutskever, Vinyals & Le 2014, arXiv 1409.3215).

    A decoder with fewer layers uses the upper ones. A cell state that the encoder does not have is zero.
    """

    def __init__(self, encoder: RecurrentStack, decoder: RecurrentStack) -> None:
        super().__init__(encoder, decoder)
        if encoder.output_size != decoder.hidden_size or encoder.num_layers < decoder.num_layers:
            raise ValueError(
                f"bridge=last cannot map {encoder.num_layers} encoder layers of {encoder.output_size} units (both "
                f"directions) to {decoder.num_layers} decoder layers of {decoder.hidden_size}: use equal sizes, or "
                "bridge=learned or bridge=zeros"
            )

    def forward(self, state: State) -> State:
        final = state._asdict()
        zeros = torch.zeros_like(self.merge_directions(state.hidden))
        merged = (self.merge_directions(final[name]) if name in final else zeros for name in self.state_type._fields)
        return self.state_type(*(tensor[-self.layers :] for tensor in merged))


class LearnedBridge(Bridge):
    """tanh(W s + b) for each layer and state tensor (Bahdanau, Cho & Bengio 2015, arXiv 1409.0473, A.2.2).

    s is the concatenated final state of the encoder's top layer.
    """

    def __init__(self, encoder: RecurrentStack, decoder: RecurrentStack) -> None:
        super().__init__(encoder, decoder)
        input_size = len(encoder.state_type._fields) * encoder.output_size
        self.parts = len(decoder.state_type._fields)
        self.map = nn.Linear(input_size, self.parts * self.layers * self.hidden_size)

    def forward(self, state: State) -> State:
        top = torch.cat([self.merge_directions(tensor)[-1] for tensor in state], -1)
        states = torch.tanh(self.map(top)).unflatten(-1, (self.parts, self.layers, self.hidden_size))
        return self.state_type(*states.permute(1, 2, 0, 3).unbind(0))
