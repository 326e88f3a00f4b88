"""CUDA graphs of whole runs, which launch many small kernels as one.

Enabled by SLUICE_CUDA_GRAPHS=1. A graph replays on the memory it was captured on, so each shape has its own static
tensors: inputs are copied in before a replay, results are copied out after it.
"""

import os
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

from sluice.recurrent.fused.run import FusedOptions, FusedRun, NamedTensors, Schedule

MAX_SHAPES = 16
"""Maximum number of cached graphs; the least recently used one is evicted."""

Capture = Callable[[Callable[[], NamedTensors]], tuple[Callable[[], None], NamedTensors]]
"""Runs a function once; returns a function that replays it on the same memory, and the results of the first run."""


def graphs_enabled(tensor: Tensor) -> bool:
    """Returns whether runs on this tensor's device are captured."""
    return tensor.is_cuda and os.environ.get("SLUICE_CUDA_GRAPHS", "0") == "1"


def capture_cuda(function: Callable[[], NamedTensors]) -> tuple[Callable[[], None], NamedTensors]:
    """Captures a function into a CUDA graph after three warm-up runs, in which libraries choose their kernels."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = function()
    return graph.replay, results


class GraphedRuns:
    """Cached graphs of forward and backward passes, keyed by everything that their kernels depend on."""

    def __init__(self, capture: Capture = capture_cuda) -> None:
        self._capture = capture
        self._graphs: OrderedDict[tuple[object, ...], _Graphed] = OrderedDict()

    def forward(
        self, run_type: type[FusedRun], options: FusedOptions, schedule: Schedule, tensors: NamedTensors
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Runs a forward pass.

        Args:
            run_type: the cell's run.
            options: the run's options.
            schedule: active rows at each step.
            tensors: see FusedRun.

        Returns:
            The buffers of the pass, and the final state by field.
        """

        def make() -> "_Graphed":
            static_inputs = _copies(tensors)
            run = run_type(options, schedule, static_inputs, {})

            def pass_forward() -> NamedTensors:
                run.forward()
                final = {f"final {field}": run.final(field) for field in run.fields}
                return {**{f"buffer {name}": buffer for name, buffer in run.buffers.items()}, **final}

            return _Graphed(static_inputs, *self._capture(pass_forward))

        results = self._get(("forward", run_type, options, len(schedule.active), _shapes(tensors)), make)(tensors)
        buffers = {name.removeprefix("buffer "): value for name, value in results.items() if name.startswith("buffer ")}
        final = {name.removeprefix("final "): value for name, value in results.items() if name.startswith("final ")}
        return buffers, final

    def backward(
        self,
        run_type: type[FusedRun],
        options: FusedOptions,
        schedule: Schedule,
        tensors: NamedTensors,
        buffers: dict[str, Tensor],
        grads: NamedTensors,
    ) -> NamedTensors:
        """Runs a backward pass.

        Args:
            run_type: the cell's run.
            options: the run's options.
            schedule: active rows at each step.
            tensors: see FusedRun.
            buffers: the buffers of the forward pass.
            grads: "states <field>" and "final <field>", the gradients of all states and of the final state.

        Returns:
            Gradients by tensor name.
        """
        inputs = {**tensors, **{f"buffer {name}": value for name, value in buffers.items()}, **grads}

        def make() -> "_Graphed":
            static_inputs = _copies(inputs)
            fields = run_type.fields

            def pass_backward() -> NamedTensors:
                run = run_type(
                    options,
                    schedule,
                    {name: static_inputs[name] for name in tensors},
                    {name: static_inputs[f"buffer {name}"] for name in buffers},
                )
                grad_states = {field: static_inputs[f"states {field}"] for field in fields}
                return run.backward(grad_states, {field: static_inputs[f"final {field}"] for field in fields})

            return _Graphed(static_inputs, *self._capture(pass_backward))

        return self._get(("backward", run_type, options, len(schedule.active), _shapes(inputs)), make)(inputs)

    def _get(self, key: tuple[object, ...], make: Callable[[], "_Graphed"]) -> "_Graphed":
        if key not in self._graphs:
            self._graphs[key] = make()
            while len(self._graphs) > MAX_SHAPES:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        return self._graphs[key]


class _Graphed:
    """A captured pass with its static memory."""

    def __init__(self, inputs: NamedTensors, replay: Callable[[], None], results: NamedTensors) -> None:
        self._inputs, self._replay, self._results = inputs, replay, results

    def __call__(self, inputs: NamedTensors) -> NamedTensors:
        for name, value in inputs.items():
            if isinstance(value, Tensor):
                self._inputs[name].copy_(value)
        self._replay()
        return _copies(self._results)


def _copies(tensors: NamedTensors) -> NamedTensors:
    return {
        name: value.detach().clone(memory_format=torch.contiguous_format) if isinstance(value, Tensor) else value
        for name, value in tensors.items()
    }


def _shapes(tensors: NamedTensors) -> tuple[object, ...]:
    return tuple(
        (name, tuple(value.shape), value.dtype, str(value.device)) if isinstance(value, Tensor) else (name, value)
        for name, value in tensors.items()
    )


RUNS = GraphedRuns()
"""The graphs of this process."""
