"""Runs exported programs in ONNX Runtime and compares their outputs."""

from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from sluice.export.onnx_file import onnx_model
from sluice.export.programs import Program, programs_of

TOLERANCE = 1e-5


class Session:
    """An exported program in ONNX Runtime."""

    def __init__(self, program: Program) -> None:
        self.size = len(content := onnx_model(program).SerializeToString())
        self.session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.inputs = [value.name for value in self.session.get_inputs()]

    def __call__(self, **given: Any) -> dict[str, Any]:
        arrays = {name: value.numpy() if isinstance(value, Tensor) else value for name, value in given.items()}
        return dict(zip(self.outputs, self.session.run(None, arrays), strict=True))


def sessions(network: nn.Module) -> list[Session]:
    return [Session(program) for program in programs_of(network)]


def assert_close(found: Any, expected: Tensor) -> None:
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=0, atol=TOLERANCE)


def carried(found: dict[str, Any]) -> dict[str, Any]:
    """The state after a step as inputs of the next."""
    return {name.removeprefix("next_"): value for name, value in found.items() if name.startswith("next_")}


torch.set_num_threads(1)
