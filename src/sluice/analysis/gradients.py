"""Gradient norms of a loss at the last step with respect to the recurrent states of all steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.analysis.gradient_probes import temporal_order_batch, validation_probe
from sluice.config.common import MAX_BIAS
from sluice.data.synthetic.temporal_order import CLASSES, SYMBOLS
from sluice.errors import UserError
from sluice.memory import require_memory
from sluice.recipes.load import load_model
from sluice.recurrent import CELLS, CellOptions, OneHot, RecurrentStack, State
from sluice.recurrent.initialisers import INITIALISERS
from sluice.recurrent.lengths import check_lengths
from sluice.recurrent.states import split_state

MIN_STEPS = 10
"""Minimum length of generated sequences."""
SEQUENCES = 64
"""Maximum number of sequences over which norms are averaged."""

Curves = dict[str, NDArray[np.float32]]
"""Mean gradient norms (T,) at distances 0, 1, ... from the last step, by name of the cell or run."""


def gradient_norms(
    stack: RecurrentStack, inputs: Tensor | OneHot, lengths: Tensor, loss: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Computes the norms ‖∂ loss / ∂ h_t‖ for all steps t of a batch of sequences.

    Norms that decrease with the distance from the last step show vanishing gradients: Hochreiter (1991); Bengio, Simard
    & Frasconi (1994), "Learning long-term dependencies with gradient descent is difficult". An LSTM also has norms for
    its cell state c_t; its gradient includes the path through h_t = o ⊙ tanh(c_t). The stack runs with `Cell.step`, in
    evaluation mode.

    Args:
        stack: a unidirectional stack.
        inputs: (B, T, D) features, or a OneHot of (B, T).
        lengths: (B,) int64 on the CPU.
        loss: maps the top layer's hidden states (B, H) after the last step of each sequence to a scalar, the sum of one
            loss per sequence.

    Returns:
        (layers, B, T) norms for each part of the state ("hidden", and "cell" for an LSTM). Index d of the last axis is
        d steps before the last step of a sequence, and NaN if this is before its first step.

    Raises:
        ValueError: if the stack is bidirectional, or the lengths don't match the inputs.
    """
    if stack.directions == 2:
        raise ValueError("gradient norms need a unidirectional stack: set model.bidirectional=false")
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
    """Runs the stack step by step and returns the states as [step][layer], tensors (B, H) of the autograd graph."""
    size = len(inputs.ids if isinstance(inputs, OneHot) else inputs)
    current = split_state(stack.make_initial_state(size))
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
    """(layers, B, T) gradient norms with respect to one part of the states, by step."""
    nodes = [getattr(states[step][layer], part) for layer in range(layers) for step in range(len(states))]
    gradients = torch.autograd.grad(total, nodes, retain_graph=True, allow_unused=True)
    norms = [nodes[0].new_zeros(len(nodes[0])) if gradient is None else gradient.norm(dim=-1) for gradient in gradients]
    return torch.stack(norms).unflatten(0, (layers, len(states))).transpose(1, 2)


def _by_distance(norms: Tensor, lengths: Tensor) -> Tensor:
    """(layers, B, T) norms by step -> by distance from the last step of each sequence."""
    steps = lengths.unsqueeze(1) - 1 - torch.arange(norms.shape[2])
    reversed_norms = norms.gather(2, steps.clamp_min(0).expand_as(norms).to(norms.device))
    return reversed_norms.masked_fill((steps < 0).to(norms.device), float("nan"))


@dataclass(frozen=True)
class UntrainedNetworks:
    """Settings of single-layer networks at initialisation, one for each cell, on generated sequences."""

    cells: tuple[str, ...] = ("rnn", "rnn_relu", "gru", "lstm")
    """Names of registered cells."""
    steps: int = 100
    """Length of the sequences."""
    hidden: int = 64
    """Hidden size."""
    seed: int = 1
    """Seed of the sequences and of each network."""
    init: str = "orthogonal"
    """Initialiser of the recurrent weights, see `sluice.recurrent.initialisers`."""
    forget_bias: float = 1.0
    """Initial bias of the forget or update gate."""

    def check(self) -> None:
        """Checks the settings.

        Raises:
            UserError: if a cell or the initialiser is unknown, or a number is out of range or too large for memory.
        """
        unknown = next((cell for cell in self.cells if cell not in CELLS), None)
        if unknown is not None:
            raise UserError(f"there is no cell {unknown!r} for --cells: there are {', '.join(sorted(CELLS))}")
        if self.init not in INITIALISERS:
            raise UserError(f"--init {self.init} cannot be used: it must be one of {', '.join(sorted(INITIALISERS))}")
        if self.steps < MIN_STEPS:
            raise UserError(f"--steps {self.steps} is too few: choose {MIN_STEPS} or more")
        if not abs(self.forget_bias) <= MAX_BIAS:  # NaN too
            raise UserError(
                f"--forget-bias {self.forget_bias:g} cannot be used: it must be a finite number of at most {MAX_BIAS}"
            )
        if self.forget_bias != 1 and not any(CELLS[cell].forget_bias_gate for cell in self.cells):
            cells = ", ".join(self.cells)
            raise UserError(
                f"--forget-bias {self.forget_bias:g} has no effect on --cells {cells}: these cells have no forget or "
                "update gate, omit it"
            )
        if not 0 <= self.seed < 2**63:
            raise UserError(f"--seed {self.seed} cannot be used: it must be at least 0 and below 2^63")
        sizes = f"--hidden {self.hidden} and --steps {self.steps}"
        require_memory(16 * self.hidden * (4 * self.hidden + SEQUENCES * self.steps), sizes, "choose smaller numbers")


def untrained_curves(networks: UntrainedNetworks) -> Curves:
    """Gradient norms of untrained networks, one curve for each part of each cell's state."""
    sequences = temporal_order_batch(networks.steps, networks.seed, SEQUENCES)
    lengths = torch.full((len(sequences.ids),), networks.steps)
    curves: Curves = {}
    for cell in networks.cells:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(networks.seed)
            stack = RecurrentStack(
                cell=cell,
                input_size=len(SYMBOLS),
                hidden_size=networks.hidden,
                one_hot=True,
                options=CellOptions(recurrent_init=networks.init, forget_bias=networks.forget_bias),
            )
            loss = _classification_loss(nn.Linear(networks.hidden, len(CLASSES)), sequences.labels)
        norms = gradient_norms(stack, OneHot(sequences.ids, len(SYMBOLS)), lengths, loss)
        curves |= _named(cell, {part: layers[0] for part, layers in norms.items()})
    return curves


def _classification_loss(output: nn.Linear, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Cross-entropy of a linear classifier on the last state, summed over the sequences."""
    return lambda top: F.cross_entropy(output(top), labels, reduction="sum")


def curves_of_runs(runs: Sequence[Path], *, steps: int | None, layer: int | None, data_dir: Path | None) -> Curves:
    """Gradient norms of several runs; the names of curves include the run's folder if they would be ambiguous.

    Args:
        runs: run folders or checkpoints, each evaluated on its own validation split.
        steps: maximum length of sequences that can be truncated; None for the default.
        layer: layer number, 1 is the lowest; None for the top layer.
        data_dir: folder of the corpora; None for SLUICE_DATA, or else the folder used in training.

    Raises:
        UserError: if a checkpoint is invalid, a model is not supported (see `validation_probe`), or the layer doesn't
            exist.
    """
    curves: Curves = {}
    for run in runs:
        new = run_curves(run, steps=steps, layer=layer, data_dir=data_dir)
        curves |= {f"{name} ({run})": norms for name, norms in new.items()} if set(new) & set(curves) else new
    return curves


def run_curves(run: Path, *, steps: int | None, layer: int | None, data_dir: Path | None) -> Curves:
    """Gradient norms of a trained network on its validation split, one curve for each part of the state.

    Args:
        run: a run folder or a checkpoint.
        steps: see `curves_of_runs`.
        layer: see `curves_of_runs`.
        data_dir: see `curves_of_runs`.

    Raises:
        UserError: as `curves_of_runs`.
    """
    model = load_model(run)
    probe = validation_probe(model, count=SEQUENCES, steps=steps, data_dir=data_dir)
    layers = probe.stack.num_layers
    if layer is not None and not 1 <= layer <= layers:
        raise UserError(f"there is no layer {layer} in {run}: choose from 1 to {layers}")
    norms = gradient_norms(probe.stack, probe.inputs, probe.lengths, probe.loss)
    name = f"{model.config.model.name} {run.name}"
    return _named(name, {part: by_layer[(layer or layers) - 1] for part, by_layer in norms.items()})


def mean_by_distance(norms: Tensor) -> NDArray[np.float32]:
    """Averages norms (B, T) over the sequences, without NaN, to (T,)."""
    mean: NDArray[np.float32] = norms.nanmean(0).numpy()
    return mean


def _named(name: str, norms: dict[str, Tensor]) -> Curves:
    return {
        f"{name}, {part} state" if len(norms) > 1 else name: mean_by_distance(values) for part, values in norms.items()
    }
