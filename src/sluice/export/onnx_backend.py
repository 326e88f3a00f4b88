"""Recurrent layers in ONNX: the operators RNN, GRU and LSTM, and Scan for every other cell.

Order of the gates and layout of the parameters, by the ONNX operator specification, opset 14,
https://github.com/onnx/onnx/blob/main/docs/Operators.md#LSTM (and #GRU, #RNN). H units, D inputs, one direction:

cell              operator  gates here                  gates in ONNX   attributes
rnn, rnn_relu     RNN       new                         i               activations [f]
gru               GRU       reset, update, new          z, r, h         linear_before_reset=1, activations [Sigmoid, f]
gru_reset_before  GRU       reset, update, new          z, r, h         linear_before_reset=0, activations [Sigmoid, f]
lstm              LSTM      input, forget, cand., out.  i, o, f, c      activations [Sigmoid, f_c, f_h]
lstm_peephole     LSTM      input, forget, cand., out.  i, o, f, c      the same
lstm_coupled      LSTM      forget, candidate, output   i, o, f, c      the same, input_forget=1

parameter         here             in ONNX
weight_ih         (G·H, D)         W (1, G·H, D), gates reordered
weight_hh         (G·H, H)         R (1, G·H, H), gates reordered
bias_ih, bias_hh  (G·H,) each      B (1, 2·G·H): those of W, then those of R
peephole          (3, H): i, f, o  P (1, 3·H): i, o, f; all as in Gers et al., P_o with the new cell state

The update gate of a GRU has the same sense in both: h' = (1 − z) ⊙ n + z ⊙ h. With `input_forget` the operator couples
i = 1 − f; the input gate then has the negated parameters of the forget gate, since 1 − σ(a) = σ(−a), so that the result
is the same whichever of the two gates a runtime computes.

The cells with layer normalisation, and activations that the operators lack or that ONNX Runtime approximates, run as
Scan: its body is the traced reference step of the cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from onnx import helper
from torch import Tensor
from torch.nn import functional as F

from sluice.export.backend import LayerOutput, States, one_column, step_mask, zero_states
from sluice.export.tracer import Attribute, Traced, Tracer
from sluice.recurrent import Cell, OneHot, State
from sluice.recurrent.cells import (
    CoupledLSTMCell,
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    ReLURNNCell,
    ResetBeforeGRUCell,
    TanhRNNCell,
)

ACTIVATIONS = {
    **{"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid", "softsign": "Softsign"},
}
"""Activations of the operators by name; the others run as Scan."""


@dataclass(frozen=True)
class Operator:
    """How a cell maps to an ONNX operator."""

    name: str
    gates: tuple[str, ...]
    """The gates in the order of ONNX; "-forget" negates the parameters of the forget gate."""
    activations: tuple[str, ...]
    """Options of the cell that choose the activations after the gates' Sigmoid."""
    attributes: dict[str, Attribute] = field(default_factory=dict)


LSTM_GATES, ACTIVATION_OPTIONS = ("input", "output", "forget", "candidate"), ("cell_activation", "activation")
OPERATORS: dict[type[Cell], Operator] = {
    TanhRNNCell: Operator("RNN", ("new",), ("activation",)),
    ReLURNNCell: Operator("RNN", ("new",), ("activation",)),
    GRUCell: Operator("GRU", ("update", "reset", "new"), ("activation",), {"linear_before_reset": 1}),
    ResetBeforeGRUCell: Operator("GRU", ("update", "reset", "new"), ("activation",), {"linear_before_reset": 0}),
    LSTMCell: Operator("LSTM", LSTM_GATES, ACTIVATION_OPTIONS),
    PeepholeLSTMCell: Operator("LSTM", LSTM_GATES, ACTIVATION_OPTIONS),
    CoupledLSTMCell: Operator(
        "LSTM", ("-forget", "output", "forget", "candidate"), ACTIVATION_OPTIONS, {"input_forget": 1}
    ),
}


class OnnxBackend:
    """Emits the operations into the graph of a tracer."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer

    def run_layer(
        self, cells: Sequence[Cell], inputs: Tensor | OneHot, lengths: Tensor, states: States | None
    ) -> LayerOutput:
        outputs, finals = [], list[State]()
        for direction, cell in enumerate(cells):
            state = None if states is None else states[direction]
            run = self._operator if has_operator(cell) else self._scan
            output, final = run(cell, inputs, lengths, state, reverse=bool(direction))
            outputs.append(output)
            finals.append(final)
        return LayerOutput(torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0], finals)

    def reverse(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        operands = [self.tracer.name(inputs), self.tracer.name(lengths)]
        value = self.tracer.node("ReverseSequence", operands, batch_axis=0, time_axis=1)
        return self._like(inputs, value)

    def split_segments(self, inputs: Tensor, size: int) -> Tensor:
        """Pads T to T + size − 1, cuts it to a multiple of `size`, and reshapes."""
        tracer, rank = self.tracer, inputs.dim()
        pads = tracer.integers(*([0] * (rank + 1)), size - 1, *([0] * (rank - 2)))
        padded = tracer.node("Pad", [tracer.name(inputs), pads, tracer.name(0, inputs.dtype)])
        steps = self._size(padded, 1)
        whole = tracer.node("Mul", [tracer.node("Div", [steps, tracer.integers(size)]), tracer.integers(size)])
        kept = tracer.node("Slice", [padded, tracer.integers(0), whole, tracer.integers(1)])
        value = tracer.node("Reshape", [kept, tracer.integers(-1, size, *inputs.shape[2:])])
        return tracer.wrap(torch.empty(2, size, *inputs.shape[2:], dtype=inputs.dtype, device="meta"), value)

    def join_segments(self, segments: Tensor, like: Tensor) -> Tensor:
        tracer, size = self.tracer, segments.shape[-1]
        shape = tracer.node("Concat", [self._size(tracer.name(like), 0), tracer.integers(-1, size)], axis=0)
        whole = tracer.node("Reshape", [tracer.name(segments), shape])
        steps = self._size(tracer.name(like), 1)
        value = tracer.node("Slice", [whole, tracer.integers(0), steps, tracer.integers(1)])
        return tracer.wrap(torch.empty(*like.shape, size, device="meta"), value)

    def _size(self, value: str, dim: int) -> str:
        """Returns the size of a dimension, (1,) int64."""
        return self.tracer.node("Shape", [value], start=dim, end=dim + 1)

    def _like(self, tensor: Tensor, value: str) -> Traced:
        return self.tracer.wrap(torch.empty(tensor.shape, dtype=tensor.dtype, device="meta"), value)

    def _operator(
        self, cell: Cell, inputs: Tensor | OneHot, lengths: Tensor, state: State | None, *, reverse: bool
    ) -> tuple[Tensor, State]:
        """Emits an RNN, GRU or LSTM operator for one direction."""
        tracer, operator = self.tracer, OPERATORS[type(cell)]
        features, weight, bias = self._input_product(cell, inputs)
        operands = [
            tracer.name(features.transpose(0, 1)),
            weight,
            tracer.constant(gate_rows(cell, cell.weight_hh).unsqueeze(0)),
            tracer.constant(torch.cat([bias, gate_rows(cell, _bias(cell, "bias_hh"))]).unsqueeze(0)),
            tracer.node("Cast", [tracer.name(lengths)], to=helper.TensorProto.INT32),
            *(_omitted(cell) if state is None else (tracer.name(part.unsqueeze(0)) for part in state)),
        ]
        if isinstance(cell, PeepholeLSTMCell):
            operands.append(tracer.constant(cell.peephole[[0, 2, 1]].flatten().unsqueeze(0)))
        values = tracer.nodes(
            operator.name,
            operands,
            1 + len(cell.state_type._fields),
            hidden_size=cell.hidden_size,
            direction="reverse" if reverse else "forward",
            activations=_activations(cell),
            **operator.attributes,
        )
        return self._results(cell, inputs, lengths, values)

    def _results(
        self, cell: Cell, inputs: Tensor | OneHot, lengths: Tensor, values: Sequence[str]
    ) -> tuple[Tensor, State]:
        """Y (T, 1, B, H) -> (B, T, H), zero beyond each length; Y_h and Y_c (1, B, H) -> (B, H)."""
        tracer, ids = self.tracer, one_column(inputs)
        batch, steps = ids.shape
        outputs = tracer.wrap(torch.empty(steps, 1, batch, cell.hidden_size, device="meta"), values[0])
        final = torch.empty(1, batch, cell.hidden_size, device="meta")
        outside = ~step_mask(ids, lengths).unsqueeze(-1)
        masked = outputs.squeeze(1).transpose(0, 1).masked_fill(outside, 0.0)
        return masked, cell.state_type(*(tracer.wrap(final, value).squeeze(0) for value in values[1:]))

    def _input_product(self, cell: Cell, inputs: Tensor | OneHot) -> tuple[Tensor, str, Tensor]:
        """Returns the inputs of an operator, its W and the first half of B.

        One-hot rows are looked up in the input weights, and W is the identity, which the graph creates.
        """
        bias = gate_rows(cell, _bias(cell, "bias_ih"))
        if not isinstance(inputs, OneHot):
            return inputs, self.tracer.constant(gate_rows(cell, cell.weight_ih).unsqueeze(0)), bias
        table = gate_rows(cell, cell.weight_ih.t()).t().contiguous()
        size = table.shape[1]
        zeros = self.tracer.node("ConstantOfShape", [self.tracer.integers(size, size)])
        identity = self.tracer.node("EyeLike", [zeros])
        return F.embedding(inputs.ids, table), self.tracer.node("Unsqueeze", [identity, self.tracer.integers(0)]), bias

    def _scan(
        self, cell: Cell, inputs: Tensor | OneHot, lengths: Tensor, state: State | None, *, reverse: bool
    ) -> tuple[Tensor, State]:
        """Emits a Scan over the cell's reference step for one direction."""
        tracer = self.tracer
        projected, mask = cell.project(inputs), step_mask(one_column(inputs), lengths)
        if reverse:
            projected = self.reverse(projected, lengths)
        first = zero_states([cell], lengths)[0] if state is None else state
        scanned = [projected.transpose(0, 1), mask.unsqueeze(-1).transpose(0, 1)]
        names = [tracer.new_name("step") for _ in range(len(first) + 2)]
        with tracer.body() as body:
            examples = [*map(_plain, first), *(_plain(part)[0] for part in scanned)]
            arguments = [self._body_input(name, part) for name, part in zip(names, examples, strict=True)]
            before, (pre_activations, active) = cell.state_type(*arguments[:-2]), arguments[-2:]
            after, _ = cell.step(pre_activations, before, cell.recurrence(1))
            kept = [torch.where(active, new, old) for new, old in zip(after, before, strict=True)]
            output = after.hidden.masked_fill(~active, 0.0)
            results = [tracer.node("Identity", [tracer.name(part)]) for part in (*kept, output)]
        outputs = [helper.make_tensor_value_info(name, helper.TensorProto.FLOAT, None) for name in results]
        graph = helper.make_graph(body.nodes, tracer.new_name("step"), body.inputs, outputs)
        operands = [tracer.name(part) for part in (*first, *scanned)]
        values = tracer.nodes("Scan", operands, len(results), body=graph, num_scan_inputs=2)
        batch, steps = one_column(inputs).shape
        shape = torch.empty(steps, batch, cell.hidden_size, device="meta")
        whole = tracer.wrap(shape, values[-1]).transpose(0, 1)
        finals = [self._like(part, value) for part, value in zip(first, values[:-1], strict=True)]
        return self.reverse(whole, lengths) if reverse else whole, cell.state_type(*finals)

    def _body_input(self, name: str, example: Tensor) -> Traced:
        return self.tracer.input(name, [None] * example.dim(), example)


def has_operator(cell: Cell) -> bool:
    """Returns whether an ONNX operator computes this cell with its activations."""
    return type(cell) in OPERATORS and all(name in ACTIVATIONS for name in cell.activations.values())


def gate_rows(cell: Cell, parameter: Tensor) -> Tensor:
    """Reorders the gates of a parameter (G·H, ...) for the operator of the cell."""
    gates = dict(zip(cell.gates, parameter.detach().chunk(len(cell.gates)), strict=True))
    chosen = OPERATORS[type(cell)].gates
    return torch.cat([-gates[name[1:]] if name.startswith("-") else gates[name] for name in chosen])


def _activations(cell: Cell) -> list[str]:
    operator = OPERATORS[type(cell)]
    chosen = [ACTIVATIONS[cell.activations[option]] for option in operator.activations]
    return chosen if operator.name == "RNN" else ["Sigmoid", *chosen]


def _bias(cell: Cell, name: str) -> Tensor:
    bias: Tensor | None = getattr(cell, name)
    return torch.zeros(len(cell.weight_hh)) if bias is None else bias


def _omitted(cell: Cell) -> list[str]:
    """Names of an omitted initial state, which is zero."""
    return ["" for _ in cell.state_type._fields]


def _plain(tensor: Tensor) -> Tensor:
    return tensor.example if isinstance(tensor, Traced) else tensor
