"""CUDA graphs of whole runs: a run of many small kernels is launched as one.

Opt-in by SLUICE_CUDA_GRAPHS=1. A graph repeats what was captured on the very memory it was captured on, so that each
shape has a set of tensors of its own, into which a call's inputs are copied and from which its results are copied out.
"""

import os
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

from sluice.recurrent.fused.run import FusedOptions, FusedRun, NamedTensors, Schedule

MOST_SHAPES = 16
"""Graphs kept; the one that was not used for longest gives way."""

Capture = Callable[[Callable[[], NamedTensors]], tuple[Callable[[], None], NamedTensors]]
"""Runs a function once and gives what repeats it on the same memory, and what it returned the first time."""


def graphs_wanted(tensor: Tensor) -> bool:
    """Whether runs on this tensor's device are to be captured."""
    return tensor.is_cuda and os.environ.get("SLUICE_CUDA_GRAPHS", "0") == "1"


def capture_cuda(function: Callable[[], NamedTensors]) -> tuple[Callable[[], None], NamedTensors]:
    """Captures a function into a CUDA graph after three runs that let the libraries choose their kernels."""
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
    """Forward and backward passes of runs, by everything that their kernels depend on."""

    def __init__(self, capture: Capture = capture_cuda) -> None:
        self._capture = capture
        self._made: OrderedDict[tuple[object, ...], _Graphed] = OrderedDict()

    def forward(
        self, run_type: type[FusedRun], options: FusedOptions, schedule: Schedule, tensors: NamedTensors
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The buffers of a run's forward pass, and its final state by field."""

        def make() -> "_Graphed":
            own = _copies(tensors)
            run = run_type(options, schedule, own, {})

            def pass_forward() -> NamedTensors:
                run.forward()
                final = {f"final {field}": run.final(field) for field in run.fields}
                return {**{f"buffer {name}": buffer for name, buffer in run.buffers.items()}, **final}

            return _Graphed(own, *self._capture(pass_forward))

        results = self._get(("forward", run_type, options, len(schedule.alive), _shapes(tensors)), make)(tensors)
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
        came: NamedTensors,
    ) -> NamedTensors:
        """Gradients by the names of the tensors; `came` has "states <field>" and "final <field>"."""
        given = {**tensors, **{f"buffer {name}": value for name, value in buffers.items()}, **came}

        def make() -> "_Graphed":
            own = _copies(given)
            fields = run_type.fields

            def pass_backward() -> NamedTensors:
                run = run_type(
                    options,
                    schedule,
                    {name: own[name] for name in tensors},
                    {name: own[f"buffer {name}"] for name in buffers},
                )
                of_states = {field: own[f"states {field}"] for field in fields}
                return run.backward(of_states, {field: own[f"final {field}"] for field in fields})

            return _Graphed(own, *self._capture(pass_backward))

        return self._get(("backward", run_type, options, len(schedule.alive), _shapes(given)), make)(given)

    def _get(self, key: tuple[object, ...], make: Callable[[], "_Graphed"]) -> "_Graphed":
        if key not in self._made:
            self._made[key] = make()
            while len(self._made) > MOST_SHAPES:
                self._made.popitem(last=False)
        self._made.move_to_end(key)
        return self._made[key]


class _Graphed:
    """One captured pass with its own memory."""

    def __init__(self, inputs: NamedTensors, replay: Callable[[], None], results: NamedTensors) -> None:
        self._inputs, self._replay, self._results = inputs, replay, results

    def __call__(self, given: NamedTensors) -> NamedTensors:
        for name, value in given.items():
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
"""Those of this process."""
