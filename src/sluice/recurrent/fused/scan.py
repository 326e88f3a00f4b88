"""The fused scan: a run with gradients, optionally captured into CUDA graphs."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sluice.recurrent.fused import graphs
from sluice.recurrent.fused.run import FusedOptions, FusedRun, NamedTensors, Schedule, split_saved


class FusedResult(NamedTuple):
    """Result of a run, tensors in the order of the state's fields."""

    states: tuple[Tensor, ...]
    """(T, B, H) each, zero beyond each length."""
    final: tuple[Tensor, ...]
    """(B, H) each, at each row's last step."""


def run_fused(
    run_type: type[FusedRun], options: FusedOptions, schedule: Schedule, tensors: NamedTensors
) -> FusedResult:
    """Runs a fused scan with gradients.

    Args:
        run_type: the cell's run.
        options: the run's options.
        schedule: active rows at each step.
        tensors: see FusedRun.
    """
    names = tuple(tensors)
    dtype = tensors["weight"].dtype
    with torch.autocast(tensors["weight"].device.type, enabled=False):
        values = [tensor if tensor is None else tensor.to(dtype) for tensor in tensors.values()]
        results = _Fused.apply(run_type, options, schedule, names, *values)
    half = len(results) // 2
    return FusedResult(results[:half], results[half:])


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        run_type: type[FusedRun],
        options: FusedOptions,
        schedule: Schedule,
        names: tuple[str, ...],
        *values: Tensor | None,
    ) -> tuple[Tensor, ...]:
        given = [value.contiguous() if isinstance(value, Tensor) else value for value in values]
        tensors: NamedTensors = dict(zip(names, given, strict=True))
        ctx.graphs = find_graphs(tensors["weight"], schedule)
        if ctx.graphs is not None:
            schedule = schedule._replace(consume=False)
            buffers, final = ctx.graphs.forward(run_type, options, schedule, tensors)
        else:
            run = run_type(options, schedule, tensors, {})
            run.forward()
            buffers, final = run.buffers, {field: run.final(field) for field in run.fields}
        ctx.arguments = (run_type, options, schedule, names, tuple(buffers))
        saved = [None if name == "projected" else value for name, value in tensors.items()]
        ctx.save_for_backward(*saved, *buffers.values())
        ctx.set_materialize_grads(False)
        return (*(buffers[field + "s"][1:] for field in run_type.fields), *final.values())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("a fused scan cannot be differentiated twice (create_graph=True); a cell's `step` can")
        run_type, options, schedule, names, buffered = ctx.arguments
        tensors, buffers = split_saved(ctx.saved_tensors, names, buffered)
        half = len(grads) // 2
        grad_states, grad_final = (
            dict(zip(run_type.fields, part, strict=True)) for part in (grads[:half], grads[half:])
        )
        if ctx.graphs is not None:
            incoming = {f"states {field}": grad for field, grad in grad_states.items()}
            incoming |= {f"final {field}": grad for field, grad in grad_final.items()}
            found = ctx.graphs.backward(run_type, options, schedule, tensors, buffers, incoming)
        else:
            found = run_type(options, schedule, tensors, buffers).backward(grad_states, grad_final)
        return (None, None, None, None, *(found.get(name) for name in names))


def find_graphs(weight: Tensor, schedule: Schedule) -> graphs.GraphedRuns | None:
    """Returns the captured runs if enabled, for sequences of equal length on CUDA, else None."""
    return graphs.RUNS if schedule.lengths is None and graphs.graphs_enabled(weight) else None
