"""Bridges: from the final state of an encoder to the initial state of a decoder."""

import torch
from torch import nn

from sluice.options import BRIDGES
from sluice.recurrent import RecurrentStack, StackState, State
from sluice.recurrent.stack import show_sizes
from sluice.recurrent.states import join_states, split_state, top_hidden


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
        self.directions = encoder.directions
        self.hidden_sizes, self.state_type = decoder.hidden_sizes, decoder.state_type

    def forward(self, state: StackState) -> StackState:
        """Returns the initial state of the decoder.

        Args:
            state: the encoder's final state, see StackOutput.

        Returns:
            The decoder's initial state, see StackOutput.
        """
        return join_states(self.layer_states(state), 1)

    def layer_states(self, state: StackState) -> list[State]:
        """Returns the initial state of each decoder layer, tensors (B, H), from the encoder's final state."""
        raise NotImplementedError

    def merge_directions(self, state: StackState) -> list[State]:
        """Returns the state of each encoder layer, tensors (B, directions · H), directions concatenated."""
        cells = split_state(state)
        layers = [cells[start : start + self.directions] for start in range(0, len(cells), self.directions)]
        return [type(cells[0])(*(torch.cat(parts, -1) for parts in zip(*layer, strict=True))) for layer in layers]


class ZerosBridge(Bridge):
    """Zeros: the source reaches the decoder through attention only."""

    def layer_states(self, state: StackState) -> list[State]:
        hidden = top_hidden(state, self.directions)
        zeros = [hidden.new_zeros(len(hidden), size) for size in self.hidden_sizes]
        return [self.state_type(*(layer for _ in self.state_type._fields)) for layer in zeros]


class LastBridge(Bridge):
    """The final state of each encoder layer (Sutskever, Vinyals & Le 2014, arXiv 1409.3215).

    A decoder with fewer layers uses the upper ones. A cell state that the encoder does not have is zero.
    """

    def __init__(self, encoder: RecurrentStack, decoder: RecurrentStack) -> None:
        super().__init__(encoder, decoder)
        sizes = [encoder.directions * size for size in encoder.hidden_sizes]
        if sizes[-decoder.num_layers :] != decoder.hidden_sizes:
            raise ValueError(
                f"bridge=last cannot map {encoder.num_layers} encoder layers of {show_sizes(sizes)} units (both "
                f"directions) to {decoder.num_layers} decoder layers of {show_sizes(decoder.hidden_sizes)}: use equal "
                "sizes, or bridge=learned or bridge=zeros"
            )

    def layer_states(self, state: StackState) -> list[State]:
        upper = self.merge_directions(state)[-len(self.hidden_sizes) :]
        return [self._convert(layer) for layer in upper]

    def _convert(self, layer: State) -> State:
        zeros = torch.zeros_like(layer.hidden)
        return self.state_type(*(getattr(layer, name, zeros) for name in self.state_type._fields))


class LearnedBridge(Bridge):
    """tanh(W s + b) for each layer and state tensor (Bahdanau, Cho & Bengio 2015, arXiv 1409.0473, A.2.2).

    s is the concatenated final state of the encoder's top layer.
    """

    def __init__(self, encoder: RecurrentStack, decoder: RecurrentStack) -> None:
        super().__init__(encoder, decoder)
        input_size = len(encoder.state_type._fields) * encoder.output_size
        self.parts = len(decoder.state_type._fields)
        self.map = nn.Linear(input_size, self.parts * sum(self.hidden_sizes))

    def layer_states(self, state: StackState) -> list[State]:
        top = torch.cat(list(self.merge_directions(state)[-1]), -1)
        states = torch.tanh(self.map(top)).unflatten(-1, (self.parts, -1)).split(self.hidden_sizes, -1)
        return [self.state_type(*layer.unbind(1)) for layer in states]
