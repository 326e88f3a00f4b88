"""Exports a program with torch.export, so that a process without Sluice can load it with `torch.export.load`."""

import io
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from sluice.errors import UserError
from sluice.export.backend import LayerOutput, States, one_column, step_mask, step_positions, zero_states
from sluice.export.programs import Program, Value
from sluice.recurrent import Cell, OneHot, State

SIZES = {"batch": 3, "time": 5, "source_time": 6, "first_time": 4, "second_time": 7, "words": 8, "ngrams": 9}
"""Example sizes of the dynamic dimensions, by name."""


class TorchBackend:
    """Computes the operations with torch; the time loop is torch's scan operator, which stays a loop when exported."""

    def run_layer(
        self, cells: Sequence[Cell], inputs: Tensor | OneHot, lengths: Tensor, states: States | None
    ) -> LayerOutput:
        first = zero_states(cells, lengths) if states is None else states
        mask = step_mask(one_column(inputs), lengths).unsqueeze(-1)
        outputs, finals = [], list[State]()
        for direction, (cell, state) in enumerate(zip(cells, first, strict=True)):
            projected = cell.project(inputs)
            if direction:
                projected = self.reverse(projected, lengths)
            output, final = _scan(partial(_step, cell), state, (projected, mask))
            outputs.append(self.reverse(output, lengths) if direction else output)
            finals.append(final)
        return LayerOutput(torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0], finals)

    def reverse(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        positions = step_positions(inputs if inputs.dim() == 2 else inputs.select(2, 0))
        ends = lengths.unsqueeze(1)
        source = torch.where(positions < ends, ends - 1 - positions, positions)
        return inputs.gather(1, source if inputs.dim() == 2 else source.unsqueeze(-1).expand_as(inputs))

    def split_segments(self, inputs: Tensor, size: int) -> Tensor:
        raise UserError(
            f"task.segment_length={size} cannot be expressed by torch.export, which would fix the number of segments: "
            "export --format onnx instead"
        )

    def join_segments(self, segments: Tensor, like: Tensor) -> Tensor:
        return segments.reshape(like.shape[0], -1, segments.shape[-1])[:, : like.shape[1]]


def _step(cell: Cell, before: State, scanned: tuple[Tensor, Tensor]) -> tuple[State, Tensor]:
    """Computes one step of a cell: a finished sequence keeps its state and has zeros as output."""
    projected, active = scanned
    after, _ = cell.step(projected, before, cell.recurrence(1))
    kept = type(before)(*(torch.where(active, new, old) for new, old in zip(after, before, strict=True)))
    return kept, after.hidden.masked_fill(~active, 0.0)


def _scan(
    step: Callable[[State, tuple[Tensor, Tensor]], tuple[State, Tensor]], state: State, scanned: tuple[Tensor, Tensor]
) -> tuple[Tensor, State]:
    """Runs a step over dimension 1 of the scanned tensors; returns the outputs (B, T, H) and the last state.

    Raises:
        UserError: if this version of torch has no scan operator.
    """
    try:
        from torch._higher_order_ops.scan import scan  # torch 2.13 has no public name for it
    except ImportError as error:
        raise UserError(
            f"torch {torch.__version__} has no scan operator for the time loop: export --format onnx instead"
        ) from error

    def combine(carried: tuple[Tensor, ...], inputs: tuple[Tensor, Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        after, output = step(type(state)(*carried), inputs)
        return tuple(after), output

    final, outputs = scan(combine, tuple(state), scanned, dim=1)
    return outputs, type(state)(*final)


class ProgramModule(nn.Module):
    """A program as a module that takes a dictionary of the inputs and returns one of the outputs."""

    def __init__(self, program: Program, network: nn.Module) -> None:
        super().__init__()
        self.network, self.program = network, program

    def forward(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        found = self.program.run(TorchBackend(), given)
        return {value.name: found[value.name] for value in self.program.outputs}


@torch.no_grad()
def exported_program(program: Program, network: nn.Module) -> ExportedProgram:
    """Exports a program of a network; its module takes a dictionary of the inputs and returns one of the outputs.

    Args:
        program: the program.
        network: the network that it computes, for its parameters.
    """
    given = {value.name: _example(value) for value in program.inputs}
    dims = {name: Dim(name) for name in SIZES}
    shapes = {
        value.name: {index: dims[size] for index, size in enumerate(value.shape) if isinstance(size, str)}
        for value in program.inputs
    }
    module = ProgramModule(program, network).eval()
    frozen = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    network.requires_grad_(False)
    try:
        exported = torch.export.export(module, (given,), dynamic_shapes={"given": shapes})
    finally:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(frozen[name])
    _remove_source_locations(exported)
    return exported


def _remove_source_locations(program: ExportedProgram) -> None:
    """Removes the paths and lines of the source code that torch records for every node."""
    for part in program.graph_module.modules():
        if isinstance(part, GraphModule):
            for node in part.graph.nodes:
                for name in ("stack_trace", "source_fn_stack", "nn_module_stack", "from_node", "torch_fn"):
                    node.meta.pop(name, None)


def _example(value: Value) -> Tensor:
    """Returns an example input; lengths are at least 1 and ids are small."""
    return torch.ones([size if isinstance(size, int) else SIZES[size] for size in value.shape], dtype=value.dtype)


def program_bytes(program: ExportedProgram) -> bytes:
    """Returns the content of a file for `torch.export.load`."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()
