"""How far back a loss reaches: the norm of its gradient by the state of every earlier step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.analysis.gradient_probes import order_sequences, own_probe
from sluice.data.synthetic.temporal_order import CLASSES, SYMBOLS
from sluice.errors import UserError
from sluice.recipes.load import load_model
from sluice.recurrent import CELLS, CellOptions, OneHot, RecurrentStack, State
from sluice.recurrent.initialisers import INITIALISERS
from sluice.recurrent.lengths import check_lengths

FEWEST_STEPS = 10
SEQUENCES = 64

Curves = dict[str, NDArray[np.float32]]
"""By the name of a cell or run, (T,) the mean norm at distances 0, 1, ..."""


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
    first = stack.make_initial_state(size)
    current = [stack.state_type(*(part[layer] for part in first)) for layer in range(stack.num_layers)]
    cells = stack.cell_list()
    products = [cell.recurrence(size) for cell in cells]
    history = []
    for step in range(steps):
        below: Tensor | OneHot
        below = inputs.map(lambda part, at=step: part[:, at]) if isinstance(inputs, OneHot) else inputs[:, step]  # type: ignore[misc]
        for layer, cell in enumerate(cells):
            current[layer], _ = cell.step(cell.project(below), current[layer], products[layer])
            hidden = current[layer].hidden
            below = hidden + below if stack.residual and layer and isinstance(below, Tensor) else hidden
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


@dataclass(frozen=True)
class Fresh:
    """Networks as they are before training, one for each cell."""

    cells: tuple[str, ...] = ("rnn", "rnn_relu", "gru", "lstm")
    steps: int = 100
    hidden: int = 64
    seed: int = 1
    init: str = "orthogonal"
    forget_bias: float = 1.0

    def check(self) -> None:
        """
        Raises:
            UserError: for a cell that isn't there, or too few steps for a sequence.
        """
        strange = next((cell for cell in self.cells if cell not in CELLS), None)
        if strange is not None:
            raise UserError(f"--cells has no {strange}: there are {', '.join(sorted(CELLS))}")
        if self.init not in INITIALISERS:
            raise UserError(f"--init {self.init} cannot be used: it must be one of {', '.join(sorted(INITIALISERS))}")
        if self.steps < FEWEST_STEPS:
            raise UserError(f"--steps {self.steps} is too few: choose {FEWEST_STEPS} or more")


def fresh_curves(fresh: Fresh) -> Curves:
    """A curve for each part of each cell's state, see `mean_by_distance`; every cell begins from the same seed."""
    sequences = order_sequences(fresh.steps, fresh.seed, SEQUENCES)
    lengths = torch.full((len(sequences.ids),), fresh.steps)
    curves: Curves = {}
    for cell in fresh.cells:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(fresh.seed)
            stack = RecurrentStack(
                cell=cell,
                input_size=len(SYMBOLS),
                hidden_size=fresh.hidden,
                one_hot=True,
                options=CellOptions(recurrent_init=fresh.init, forget_bias=fresh.forget_bias),
            )
            loss = _read_out(nn.Linear(fresh.hidden, len(CLASSES)), sequences.labels)
        norms = gradient_norms(stack, OneHot(sequences.ids, len(SYMBOLS)), lengths, loss)
        curves |= _named(cell, {part: own[0] for part, own in norms.items()})
    return curves


def _read_out(output: nn.Linear, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """The cross-entropy of the class by the last state, summed over the sequences."""
    return lambda top: F.cross_entropy(output(top), labels, reduction="sum")


def curves_of_runs(runs: Sequence[Path], *, steps: int | None, layer: int | None, data_dir: Path | None) -> Curves:
    """The curves of several runs, named by their folders where names would be the same.

    Args:
        runs: folders of runs or checkpoints, each on its own validation texts.
        steps: most steps of a sequence that can be cut; None for the default.
        layer: from 1, the lowest, on; None for the top one.
        data_dir: where the corpora lie; None for SLUICE_DATA, or else where they lay at training.

    Raises:
        UserError: for a checkpoint that isn't one, a run that gradients cannot be followed through, or a layer that
            isn't there.
    """
    curves: Curves = {}
    for run in runs:
        own = run_curves(run, steps=steps, layer=layer, data_dir=data_dir)
        curves |= {f"{name} ({run})": norms for name, norms in own.items()} if set(own) & set(curves) else own
    return curves


def run_curves(run: Path, *, steps: int | None, layer: int | None, data_dir: Path | None) -> Curves:
    """A curve for each part of a trained network's state, over sequences of its own validation split.

    Raises:
        UserError: as `curves_of_runs`.
    """
    model = load_model(run)
    probe = own_probe(model, count=SEQUENCES, steps=steps, data_dir=data_dir)
    layers = probe.stack.num_layers
    if layer is not None and not 1 <= layer <= layers:
        raise UserError(f"there is no layer {layer} in {run}: choose from 1 to {layers}")
    norms = gradient_norms(probe.stack, probe.inputs, probe.lengths, probe.loss)
    name = f"{model.config.model.name} {run.name}"
    return _named(name, {part: own[(layer or layers) - 1] for part, own in norms.items()})


def mean_by_distance(norms: Tensor) -> NDArray[np.float32]:
    """(B, T) norms, NaN before a sequence's first step -> (T,), the mean over the sequences that go so far."""
    mean: NDArray[np.float32] = norms.nanmean(0).numpy()
    return mean


def _named(name: str, norms: dict[str, Tensor]) -> Curves:
    several = len(norms) > 1
    return {f"{name}, {part} state" if several else name: mean_by_distance(own) for part, own in norms.items()}
