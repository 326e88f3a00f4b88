"""Traces torch functions into an ONNX graph.

torch's own exporters unroll or specialise recurrent networks. Here the reference step of a cell, a pooling, an
attention or an output layer is called with `Traced` tensors, and each torch function that it calls adds nodes to the
graph (see `sluice.export.operators`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from torch import Tensor

from sluice.errors import UserError

OPSET = 17
"""Version of the operators: the first one with LayerNormalization."""
IR_VERSION = 8
ONNX_TYPES = {torch.float32: TensorProto.FLOAT, torch.int64: TensorProto.INT64, torch.bool: TensorProto.BOOL}

Attribute: TypeAlias = (
    int | float | str | Sequence[int] | Sequence[float] | Sequence[str] | TensorProto | GraphProto | None
)
Operand: TypeAlias = "Tensor | float"
Handler: TypeAlias = Callable[..., str | list[str]]
"""Called with the tracer, the result of the torch function on meta tensors, and its arguments; returns the names of the
ONNX values."""

HANDLERS: dict[str, Handler] = {}
"""By the name of the torch function without underscores."""


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Decorator that registers the handler of torch functions."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def no_equivalent(name: str) -> UserError:
    """Returns the error for a torch function, or for a use of one."""
    return UserError(f"torch's {name} has no ONNX equivalent here: export to another format")


class Traced(Tensor):
    """A value of an ONNX graph. As a tensor it is on the meta device, with example sizes of dynamic dimensions."""

    tracer: "Tracer"
    value: str
    """Name in the graph."""
    example: Tensor
    """The same tensor without tracing."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        tracer = next(found.tracer for found in _traced([*args, *kwargs.values()]))
        return tracer.call(func, args, kwargs)


@dataclass
class Body:
    """Nodes and inputs of a graph, or of the body of a loop."""

    nodes: list[NodeProto] = field(default_factory=list)
    inputs: list[ValueInfoProto] = field(default_factory=list)


class Tracer:
    """Builds an ONNX graph."""

    def __init__(self) -> None:
        self.initializers: list[TensorProto] = []
        self.bodies = [Body()]
        """The graph, and the bodies of the loops that are being traced."""
        self._constants: dict[tuple[int, torch.Size, tuple[int, ...], torch.dtype], str] = {}
        self._sources: list[Tensor] = []  # keeps the memory of constants from being reused
        self._numbers: dict[tuple[object, ...], Tensor] = {}
        self._count = 0

    def input(self, name: str, shape: Sequence[int | str | None], example: Tensor) -> Traced:
        """Adds an input to the graph or body.

        Args:
            name: its name.
            shape: sizes, names of dynamic dimensions, or None for unnamed ones.
            example: a tensor with example sizes.
        """
        self.bodies[-1].inputs.append(helper.make_tensor_value_info(name, ONNX_TYPES[example.dtype], list(shape)))
        return self.wrap(example.to("meta"), name)

    def wrap(self, example: Tensor, value: str) -> Traced:
        """Returns the tensor of a value of the graph; `example` is on the meta device."""
        traced = example.detach().view(example.shape).as_subclass(Traced)
        traced.tracer, traced.value, traced.example = self, value, example
        return traced

    def call(self, func: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        """Traces a torch function.

        Args:
            func: the function.
            args: its positional arguments, with traced tensors.
            kwargs: its keyword arguments.

        Raises:
            UserError: if it has no ONNX equivalent here.
        """
        example = func(*_examples(args), **dict(zip(kwargs, _examples(list(kwargs.values())), strict=True)))
        parts = [example] if isinstance(example, Tensor) else example
        if not isinstance(parts, list | tuple) or not all(isinstance(part, Tensor) for part in parts):
            return example  # a size, a type, a device
        name = func.__name__.strip("_")
        if name not in HANDLERS:
            raise no_equivalent(name)
        values = HANDLERS[name](self, example, *args, **kwargs)
        if isinstance(values, str):
            return self.wrap(parts[0], values)
        return tuple(self.wrap(part, value) for part, value in zip(parts, values, strict=True))

    def node(self, operator: str, inputs: Sequence[str], **attributes: Attribute) -> str:
        """Adds a node with one output and returns the output's name."""
        return self.nodes(operator, inputs, 1, **attributes)[0]

    def nodes(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Attribute) -> list[str]:
        """Adds a node and returns the names of its outputs.

        Args:
            operator: the ONNX operator.
            inputs: names of values, "" for an omitted one.
            outputs: number of outputs.
            attributes: attributes of the node.
        """
        names = [self.new_name(operator) for _ in range(outputs)]
        given = {name: value for name, value in attributes.items() if value is not None}
        self.bodies[-1].nodes.append(helper.make_node(operator, inputs, names, None, None, None, None, **given))
        return names

    def new_name(self, prefix: str) -> str:
        """Returns an unused name."""
        self._count += 1
        return f"{prefix.lower()}_{self._count}"

    def constant(self, tensor: Tensor) -> str:
        """Returns the name of a constant; the same tensor is stored once."""
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if key not in self._constants:
            self._sources.append(tensor)
            self._constants[key] = self.new_name("constant")
            array = tensor.detach().cpu().contiguous().numpy()
            self.initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def integers(self, *numbers: int) -> str:
        """Returns the name of a constant (N,) int64."""
        return self.constant(self._number(numbers, torch.int64))

    def name(self, operand: Operand, dtype: torch.dtype | None = None) -> str:
        """Returns the name of an operand, converted to `dtype` if given."""
        if isinstance(operand, Traced):
            if dtype is None or operand.example.dtype == dtype:
                return operand.value
            return self.node("Cast", [operand.value], to=ONNX_TYPES[dtype])
        tensor = operand if isinstance(operand, Tensor) else self._number(operand, dtype)
        return self.constant(tensor if dtype is None else tensor.to(dtype))

    def _number(self, value: float | Sequence[int], dtype: torch.dtype | None) -> Tensor:
        """Returns a constant of a number or of several; the same one for equal numbers."""
        key = (type(value), value, dtype)
        return self._numbers.setdefault(key, torch.tensor(value, dtype=dtype))

    @contextmanager
    def body(self) -> Iterator[Body]:
        """Context manager that traces the body of a loop."""
        self.bodies.append(Body())
        try:
            yield self.bodies[-1]
        finally:
            self.bodies.pop()


def _traced(arguments: Sequence[object]) -> Iterator[Traced]:
    for argument in arguments:
        if isinstance(argument, Traced):
            yield argument
        elif isinstance(argument, list | tuple):
            yield from _traced(argument)


def _examples(arguments: Sequence[object]) -> list[object]:
    """Replaces tensors by tensors on the meta device."""
    return [_example(argument) for argument in arguments]


def _example(argument: object) -> object:
    if isinstance(argument, Traced):
        return argument.example
    if isinstance(argument, Tensor):
        return argument.detach().to("meta")
    if type(argument) in (list, tuple):
        assert isinstance(argument, list | tuple)
        return type(argument)(_examples(argument))
    return argument
