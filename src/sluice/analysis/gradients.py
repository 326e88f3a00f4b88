"""How far back a loss reaches: the norm of its gradient by the state of every earlier step."""

from collections.abc import Callable

import torch
from torch import Tensor

from sluice.recurrent import OneHot, RecurrentStack, State
from sluice.recurrent.lengths import check_lengths


def gradient_norms(
    stack: RecurrentStack, inputs: Tensor | OneHot, lengths: Tensor, loss: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """‖∂ loss_T / ∂ h_t‖ for every step t of every sequence, by the distance T − t.

    Hochreiter (1991) and Bengio, Simard & Frasconi (1994), "Learning long-term dependencies with gradient descent is
    difficult": where these norms shrink with the distance, what happened long ago cannot be learned from. An LSTM's
    long way back goes through its cell state, whose norms are given beside those of the hidden one; the gradient by c_t
    has in it what comes by way of h_t = o ⊙ tanh(c_t). Every cell is run by its own `step`, without dropout.

    Args:
        stack: in one direction.
        inputs: (B, T, D) features, or a OneHot of (B, T).
        lengths: (B,) int64 on the CPU.
        loss: from the top layer's state (B, H) after each sequence's own last step to a scalar, in which each
            sequence has a part of its own.

    Returns:
        By the name of each part of the state ("hidden", "cell"), (layers, B, T): at place d the norm at d steps before
        the sequence's own last one, NaN before its first.

    Raises:
        ValueError: for a stack in two directions, or lengths that don't fit.
    """
    if stack.directions == 2:
        raise ValueError("gradients are followed back in one direction: set model.bidirectional=false")
    steps = (inputs.ids if isinstance(inputs, OneHot) else inputs).shape[1]
    check_lengths(lengths, steps)
    training = stack.training
    stack.eval()
    try:
        with torch.enable_grad():
            states = _run(stack, inputs, steps)
            top = torch.stack([states[step][-1].hidden for step in range(steps)])
            total = loss(top[lengths - 1, torch.arange(len(lengths))])
            return {
                part: _by_distance(_norms(total, states, part, stack.num_layers), lengths)
                for part in stack.state_type._fields
            }
    finally:
        stack.train(training)


def _run(stack: RecurrentStack, inputs: Tensor | OneHot, steps: int) -> list[list[State]]:
    """The state of every layer after every step, as nodes of the graph: [step][layer], tensors (B, H)."""
    size = len(inputs.ids if isinstance(inputs, OneHot) else inputs)
    first = stack.first_state(size)
    current = [stack.state_type(*(part[layer] for part in first)) for layer in range(stack.num_layers)]
    products = [cell.recurrence(size) for cell in stack.cells]  # type: ignore[operator]
    history = []
    for step in range(steps):
        below = inputs.map(lambda part, at=step: part[:, at]) if isinstance(inputs, OneHot) else inputs[:, step]  # type: ignore[misc]
        for layer, cell in enumerate(stack.cells):
            current[layer], _ = cell.step(cell.project(below), current[layer], products[layer])  # type: ignore[operator]
            hidden = current[layer].hidden
            below = hidden + below if stack.residual and layer else hidden
        history.append(list(current))
    return history


def _norms(total: Tensor, states: list[list[State]], part: str, layers: int) -> Tensor:
    """(layers, B, T) the norm of the gradient by each state."""
    nodes = [getattr(states[step][layer], part) for layer in range(layers) for step in range(len(states))]
    gradients = torch.autograd.grad(total, nodes, retain_graph=True, allow_unused=True)
    norms = [nodes[0].new_zeros(len(nodes[0])) if gradient is None else gradient.norm(dim=-1) for gradient in gradients]
    return torch.stack(norms).unflatten(0, (layers, len(states))).transpose(1, 2)


def _by_distance(norms: Tensor, lengths: Tensor) -> Tensor:
    """(layers, B, T) by step -> by distance from the own last step."""
    places = lengths.unsqueeze(1) - 1 - torch.arange(norms.shape[2])
    turned = norms.gather(2, places.clamp_min(0).expand_as(norms).to(norms.device))
    return turned.masked_fill((places < 0).to(norms.device), float("nan"))
