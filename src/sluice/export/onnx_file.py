"""Writes a program as an ONNX model."""

from collections.abc import Mapping

import onnx
import torch
from onnx import helper
from torch import Tensor

from sluice.errors import UserError
from sluice.export import operators
from sluice.export.onnx_backend import OnnxBackend
from sluice.export.programs import Program, Value
from sluice.export.tracer import IR_VERSION, ONNX_TYPES, OPSET, Tracer
from sluice.version import __version__

assert operators
EXAMPLE_SIZE = 3
"""Of dynamic dimensions while tracing."""
MAX_BYTES = 2**31 - 1
"""Largest ONNX file, a limit of protocol buffers."""


@torch.no_grad()
def onnx_model(program: Program, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """Builds the ONNX model of a program.

    A state has its start as default value, so that it may be omitted at the beginning of a text.

    Args:
        program: the program.
        metadata: additional metadata.

    Raises:
        UserError: if the model is larger than an ONNX file can be.
    """
    tracer = Tracer()
    given = {value.name: _input(tracer, value) for value in program.inputs}
    found = program.run(OnnxBackend(tracer), given)
    outputs = []
    for value in program.outputs:
        tracer.bodies[0].nodes.append(helper.make_node("Identity", [tracer.name(found[value.name])], [value.name]))
        outputs.append(helper.make_tensor_value_info(value.name, ONNX_TYPES[value.dtype], list(value.shape)))
    body = tracer.bodies[0]
    graph = helper.make_graph(
        body.nodes, f"sluice {program.name}".strip(), body.inputs, outputs, initializer=tracer.initializers
    )
    if graph.ByteSize() > MAX_BYTES:
        raise UserError(
            f"the model has {graph.ByteSize():,} bytes, an ONNX file at most {MAX_BYTES:,}: use another format"
        )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="sluice",
        producer_version=__version__,
    )
    helper.set_model_props(model, dict(metadata or {}))
    onnx.checker.check_model(model, full_check=True)
    return model


def _input(tracer: Tracer, value: Value) -> Tensor:
    shape = value.shape
    if value.start is not None:
        shape = tuple("state_batch" if size == "batch" else size for size in shape)
        start = onnx.numpy_helper.from_array(value.start.contiguous().numpy(), value.name)
        tracer.initializers.append(start)
    sizes = [size if isinstance(size, int) else EXAMPLE_SIZE for size in shape]
    return tracer.input(value.name, shape, torch.zeros(sizes, dtype=value.dtype))
