"""The ONNX operators of torch functions.

Source: the ONNX operator specification, opset 17, https://github.com/onnx/onnx/blob/main/docs/Operators.md
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
from onnx import helper
from torch import Tensor

from sluice.export.tracer import HANDLERS, ONNX_TYPES, Operand, Tracer, handles, no_equivalent

ARITHMETIC = {
    "Add": ("add", "radd", "iadd"),
    "Sub": ("sub",),
    "Mul": ("mul", "rmul", "imul"),
    "Div": ("div", "truediv", "true_divide"),
}
COMPARISONS = {"Less": "lt", "Greater": "gt", "LessOrEqual": "le", "GreaterOrEqual": "ge", "Equal": "eq"}
FUNCTIONS = {
    **{"Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu", "Abs": "abs", "Neg": "neg", "Softsign": "softsign"},
    **{"Softplus": "softplus", "Elu": "elu", "Identity": "contiguous"},
}


def _arithmetic(operator: str, tracer: Tracer, out: Tensor, left: Operand, right: Operand) -> str:
    return tracer.node(operator, [tracer.name(left, out.dtype), tracer.name(right, out.dtype)])


def _comparison(operator: str, tracer: Tracer, out: Tensor, left: Tensor, right: Operand) -> str:
    return tracer.node(operator, [tracer.name(left), tracer.name(right, left.dtype)])


def _function(operator: str, tracer: Tracer, out: Tensor, inputs: Tensor, *_: object, **__: object) -> str:
    return tracer.node(operator, [tracer.name(inputs)])


HANDLERS.update({name: partial(_arithmetic, operator) for operator, names in ARITHMETIC.items() for name in names})
HANDLERS.update({name: partial(_comparison, operator) for operator, name in COMPARISONS.items()})
HANDLERS.update({name: partial(_function, operator) for operator, name in FUNCTIONS.items()})


@handles("rsub")
def _rsub(tracer: Tracer, out: Tensor, right: Tensor, left: Operand) -> str:
    return _arithmetic("Sub", tracer, out, left, right)


@handles("floordiv", "floor_divide")
def _floor_divide(tracer: Tracer, out: Tensor, left: Operand, right: Operand) -> str:
    """Of integers that are not negative: ONNX rounds quotients of integers towards zero."""
    if out.dtype.is_floating_point:
        raise no_equivalent("quotient of floating-point numbers rounded down")
    return _arithmetic("Div", tracer, out, left, right)


@handles("remainder", "mod")
def _remainder(tracer: Tracer, out: Tensor, left: Operand, right: Operand) -> str:
    if out.dtype.is_floating_point:
        raise no_equivalent("remainder of floating-point numbers")
    return _arithmetic("Mod", tracer, out, left, right)


@handles("and", "bitwise_and", "logical_and")
def _and(tracer: Tracer, out: Tensor, left: Tensor, right: Tensor) -> str:
    if out.dtype != torch.bool:
        raise no_equivalent("bitwise and of numbers")
    return _arithmetic("And", tracer, out, left, right)


@handles("matmul", "rmatmul")
def _matmul(tracer: Tracer, out: Tensor, left: Tensor, right: Tensor) -> str:
    return tracer.node("MatMul", [tracer.name(left), tracer.name(right)])


@handles("linear")
def _linear(tracer: Tracer, out: Tensor, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> str:
    if inputs.dim() == 2:
        given = [tracer.name(part) for part in (inputs, weight, bias) if part is not None]
        return tracer.node("Gemm", given, transB=1)
    product = tracer.node("MatMul", [tracer.name(inputs), tracer.node("Transpose", [tracer.name(weight)], perm=[1, 0])])
    return product if bias is None else tracer.node("Add", [product, tracer.name(bias)])


@handles("embedding")
def _embedding(tracer: Tracer, out: Tensor, ids: Tensor, weight: Tensor, **_: object) -> str:
    return tracer.node("Gather", [tracer.name(weight), tracer.name(ids)], axis=0)


@handles("layer_norm")
def _layer_norm(
    tracer: Tracer, out: Tensor, inputs: Tensor, shape: Sequence[int], weight: Tensor, bias: Tensor, eps: float
) -> str:
    return tracer.node("LayerNormalization", [tracer.name(part) for part in (inputs, weight, bias)], epsilon=eps)


@handles("softmax")
def _softmax(tracer: Tracer, out: Tensor, inputs: Tensor, dim: int) -> str:
    return tracer.node("Softmax", [tracer.name(inputs)], axis=dim)


@handles("log_softmax")
def _log_softmax(tracer: Tracer, out: Tensor, inputs: Tensor, dim: int) -> str:
    return tracer.node("LogSoftmax", [tracer.name(inputs)], axis=dim)


@handles("leaky_relu")
def _leaky_relu(tracer: Tracer, out: Tensor, inputs: Tensor, negative_slope: float, inplace: bool = False) -> str:
    return tracer.node("LeakyRelu", [tracer.name(inputs)], alpha=negative_slope)


@handles("hardtanh")
def _hardtanh(tracer: Tracer, out: Tensor, inputs: Tensor, min_val: float, max_val: float, inplace: bool) -> str:
    return tracer.node("Clip", [tracer.name(inputs), tracer.name(min_val), tracer.name(max_val)])


@handles("gelu")
def _gelu(tracer: Tracer, out: Tensor, inputs: Tensor) -> str:
    scaled = tracer.node("Mul", [tracer.name(inputs), tracer.name(math.sqrt(0.5))])
    factor = tracer.node("Add", [tracer.node("Erf", [scaled]), tracer.name(1.0)])
    return tracer.node("Mul", [tracer.node("Mul", [tracer.name(inputs), tracer.name(0.5)]), factor])


@handles("silu")
def _silu(tracer: Tracer, out: Tensor, inputs: Tensor, inplace: bool = False) -> str:
    return tracer.node("Mul", [tracer.name(inputs), tracer.node("Sigmoid", [tracer.name(inputs)])])


@handles("rsqrt")
def _rsqrt(tracer: Tracer, out: Tensor, inputs: Tensor) -> str:
    return tracer.node("Reciprocal", [tracer.node("Sqrt", [tracer.name(inputs)])])


@handles("clamp", "clamp_min")
def _clamp(tracer: Tracer, out: Tensor, inputs: Tensor, min: float | None = None, max: float | None = None) -> str:
    bounds = ["" if bound is None else tracer.name(bound, out.dtype) for bound in (min, max)]
    return tracer.node("Clip", [tracer.name(inputs), *bounds])


@handles("to", "float")
def _cast(tracer: Tracer, out: Tensor, inputs: Tensor, *_: object) -> str:
    return tracer.name(inputs, out.dtype)


@handles("invert", "bitwise_not", "logical_not")
def _not(tracer: Tracer, out: Tensor, inputs: Tensor) -> str:
    return tracer.node("Not", [tracer.name(inputs)])


@handles("masked_fill")
def _masked_fill(tracer: Tracer, out: Tensor, inputs: Tensor, mask: Tensor, value: float) -> str:
    return tracer.node("Where", [tracer.name(mask), tracer.name(value, out.dtype), tracer.name(inputs)])


@handles("where")
def _where(tracer: Tracer, out: Tensor, mask: Tensor, chosen: Operand, other: Operand) -> str:
    return tracer.node("Where", [tracer.name(mask), tracer.name(chosen, out.dtype), tracer.name(other, out.dtype)])


@handles("sum")
def _sum(tracer: Tracer, out: Tensor, inputs: Tensor, dim: int, keepdim: bool = False) -> str:
    return tracer.node("ReduceSum", [tracer.name(inputs, out.dtype), tracer.integers(dim)], keepdims=int(keepdim))


@handles("amax")
def _amax(tracer: Tracer, out: Tensor, inputs: Tensor, dim: int) -> str:
    return tracer.node("ReduceMax", [tracer.name(inputs)], axes=[dim], keepdims=0)


@handles("cumsum")
def _cumsum(tracer: Tracer, out: Tensor, inputs: Tensor, dim: int) -> str:
    return tracer.node("CumSum", [tracer.name(inputs, out.dtype), tracer.integers(dim)])


@handles("sort")
def _sort(tracer: Tracer, out: Sequence[Tensor], inputs: Tensor, dim: int = -1, descending: bool = False) -> list[str]:
    shape = tracer.node("Shape", [tracer.name(inputs)])
    size = tracer.node("Gather", [shape, tracer.integers(dim)], axis=0)
    return tracer.nodes("TopK", [tracer.name(inputs), size], 2, axis=dim, largest=int(descending))


@handles("cat")
def _cat(tracer: Tracer, out: Tensor, parts: Sequence[Tensor], dim: int) -> str:
    return tracer.node("Concat", [tracer.name(part) for part in parts], axis=dim)


@handles("stack")
def _stack(tracer: Tracer, out: Tensor, parts: Sequence[Tensor], dim: int = 0) -> str:
    axes = tracer.integers(dim)
    return tracer.node("Concat", [tracer.node("Unsqueeze", [tracer.name(part), axes]) for part in parts], axis=dim)


@handles("chunk", "split")
def _split(
    tracer: Tracer, out: Sequence[Tensor], inputs: Tensor, sizes: int | Sequence[int], dim: int = 0
) -> list[str]:
    widths = tracer.integers(*(part.shape[dim] for part in out))
    return tracer.nodes("Split", [tracer.name(inputs), widths], len(out), axis=dim)


@handles("unbind")
def _unbind(tracer: Tracer, out: Sequence[Tensor], inputs: Tensor, dim: int = 0) -> list[str]:
    return [tracer.node("Gather", [tracer.name(inputs), tracer.name(i)], axis=dim) for i in range(len(out))]


@handles("select")
def _select(tracer: Tracer, out: Tensor, inputs: Tensor, dim: int, index: int) -> str:
    return tracer.node("Gather", [tracer.name(inputs), tracer.name(index)], axis=dim)


@handles("getitem")
def _getitem(tracer: Tracer, out: Tensor, inputs: Tensor, index: tuple[int | slice, ...]) -> str:
    """Of integers and slices with fixed bounds; integers come last in the index."""
    value = tracer.name(inputs)
    for dim, part in reversed(list(enumerate(index))):
        if isinstance(part, int):
            value = tracer.node("Gather", [value, tracer.name(part)], axis=dim)
        elif part != slice(None):
            end = torch.iinfo(torch.int64).max if part.stop is None else part.stop
            bounds = [tracer.integers(part.start or 0), tracer.integers(end), tracer.integers(dim)]
            value = tracer.node("Slice", [value, *bounds])
    return value


@handles("pad")
def _pad(
    tracer: Tracer, out: Tensor, inputs: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> str:
    """Of the last dimension, with a number."""
    if mode != "constant" or len(pad) != 2:
        raise no_equivalent("padding of several dimensions, or without a number")
    before, after = pad
    others = [0] * (inputs.dim() - 1)
    widths = tracer.integers(*others, before, *others, after)
    return tracer.node("Pad", [tracer.name(inputs), widths, tracer.name(value or 0, out.dtype)])


@handles("flatten")
def _flatten(tracer: Tracer, out: Tensor, inputs: Tensor, start: int, end: int) -> str:
    """Of the first two dimensions."""
    return tracer.node("Reshape", [tracer.name(inputs), tracer.integers(-1, *out.shape[1:])])


@handles("unsqueeze")
def _unsqueeze(tracer: Tracer, out: Tensor, inputs: Tensor, dim: int) -> str:
    return tracer.node("Unsqueeze", [tracer.name(inputs), tracer.integers(dim)])


@handles("squeeze")
def _squeeze(tracer: Tracer, out: Tensor, inputs: Tensor, dim: int) -> str:
    return tracer.node("Squeeze", [tracer.name(inputs), tracer.integers(dim)])


@handles("transpose")
def _transpose(tracer: Tracer, out: Tensor, inputs: Tensor, first: int, second: int) -> str:
    order = list(range(inputs.dim()))
    order[first], order[second] = order[second], order[first]
    return tracer.node("Transpose", [tracer.name(inputs)], perm=order)


@handles("unflatten")
def _unflatten(tracer: Tracer, out: Tensor, inputs: Tensor, dim: int, sizes: Sequence[int]) -> str:
    """Of the last dimension, whose size is fixed; a 0 in the shape copies the size of the input."""
    shape = tracer.integers(*([0] * (inputs.dim() - 1)), *out.shape[-len(sizes) :])
    return tracer.node("Reshape", [tracer.name(inputs), shape])


def _filled(value: int, tracer: Tracer, out: Tensor, inputs: Tensor, **_: object) -> str:
    filling = helper.make_tensor("value", ONNX_TYPES[out.dtype], [1], [value])
    return tracer.node("ConstantOfShape", [tracer.node("Shape", [tracer.name(inputs)])], value=filling)


HANDLERS.update({"zeros_like": partial(_filled, 0), "ones_like": partial(_filled, 1)})
