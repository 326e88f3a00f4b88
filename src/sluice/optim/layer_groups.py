"""The parameters of a network by layer, for fine-tuning."""

import re

from torch import nn

from sluice.errors import UserError
from sluice.recurrent import RecurrentStack

CELL = re.compile(r"recurrent\.cells\.(\d+)\.")


def layer_groups(network: nn.Module) -> list[list[nn.Parameter]]:
    """Returns the parameters of the output layers, of each recurrent layer from the top, and of the embedding.

    Learned initial states belong to the lowest recurrent layer. Frozen parameters are left out; a group may be empty.

    Args:
        network: a network with a recurrent core `recurrent` and an `embedding`.

    Raises:
        UserError: for a network of another form.
    """
    stack = getattr(network, "recurrent", None)
    if not isinstance(stack, RecurrentStack) or not isinstance(getattr(network, "embedding", None), nn.Module):
        raise UserError(
            f"task.layer_decay and callbacks.gradual_unfreezing cannot be used with {type(network).__name__}: "
            "leave them out, since they need a network of one recurrent core and an embedding"
        )
    layers = len(stack.cells) // stack.directions
    groups: list[list[nn.Parameter]] = [[] for _ in range(layers + 2)]
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[_depth(name, layers, stack.directions)].append(parameter)
    return groups


def _depth(name: str, layers: int, directions: int) -> int:
    """Returns the index of the group of a parameter: 0 for the output layers, layers + 1 for the embedding."""
    if name.startswith("embedding."):
        return layers + 1
    if cell := CELL.match(name):
        return layers - int(cell[1]) // directions
    return layers if name.startswith("recurrent.") else 0
