"""All steps of a decoder with input feeding in one autograd function.

The backward pass computes the gradient of every weight in one product over all steps. Cells and attention are computed
by the kernels of recurrent/fused/c.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sluice.layers.attention import Attention, Memory
from sluice.layers.native_attention import NativeAttention, attention_kernel, attention_terms
from sluice.recurrent import State
from sluice.recurrent.cells import Cell
from sluice.recurrent.fused.layers import Layers, LayersRun
from sluice.recurrent.fused.native import kernels
from sluice.recurrent.fused.run import Gradients, NamedTensors, split_saved
from sluice.recurrent.products import Product, weight_gradient
from sluice.recurrent.scan import allows_fused
from sluice.recurrent.stepping import StackStepper


class FeedingInputs(NamedTuple):
    """Inputs of a run over T steps of B sentences."""

    projected: Tensor
    """(T, B, P), projection of the words; overwritten."""
    cells: Sequence[State]
    """Initial states of the layers, tensors (B, H)."""
    feed: Tensor
    """(B, F), features before the first step."""
    memory: Memory
    hidden_mask: Tensor | None
    """(B, H), mask of the dropout on h, or None."""


def can_run_feeding(stepper: StackStepper, attention: Attention | None, memory: Memory | None) -> bool:
    """Returns whether `run_feeding` supports this decoder, its dtypes and its device.

    Args:
        stepper: one run of the decoder's stack.
        attention: the attention, or None.
        memory: the attended sequences, or None without attention.
    """
    if attention is None or memory is None or not allows_fused() or attention_kernel(attention, memory) is None:
        return False
    dtypes = {parameter.dtype for parameter in stepper.stack.parameters()} | {memory.values.dtype}
    cells = all(cell.can_fuse() and type(cell).project is Cell.project for cell in stepper.cells)
    return len(dtypes) == 1 and stepper.splits_weight and cells


def run_feeding(
    stepper: StackStepper, attention: Attention, combine: Tensor, inputs: FeedingInputs
) -> tuple[Tensor, Tensor]:
    """Runs all steps.

    Args:
        stepper: one run of the decoder's stack.
        attention: the attention.
        combine: (F, M + H), weight of the features.
        inputs: the inputs.

    Returns:
        Features (T, B, F) and attention weights (T, B, S).
    """
    terms = attention_terms(attention)
    assert terms is not None
    runs = tuple((cell.fused, cell.fused_options()) for cell in stepper.cells if cell.fused is not None)
    tensors: NamedTensors = {
        "combine": combine,
        "feed": inputs.feed,
        "hidden_mask": inputs.hidden_mask,
        **inputs.memory._asdict(),
        **{name: getattr(terms, name) for name in ("query_weight", "query_bias", "score")},
    }
    masks = stepper.dropout_masks(len(inputs.projected))
    for layer, (cell, state) in enumerate(zip(stepper.cells, inputs.cells, strict=True)):
        own = {**stepper.recurrences[layer]._asdict(), **state._asdict(), **cell.fused_parameters()}
        if layer:
            own |= {"input_weight": cell.weight_ih, "input_bias": cell.bias_ih, "input_mask": masks[layer]}
        else:
            own |= {"projected": inputs.projected, "dependent_weight": stepper.dependent_weight}
        tensors |= {f"{layer} {name}": tensor for name, tensor in own.items()}
    features, weights = _Feeding.apply(
        Layers(runs, stepper.stack.residual), terms.factor, tuple(tensors), *tensors.values()
    )
    return features, weights


class _Feeding(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, layers: Layers, factor: float, names: tuple[str, ...], *values: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        given = [value.contiguous() if isinstance(value, Tensor) else value for value in values]
        tensors: NamedTensors = dict(zip(names, given, strict=True))
        run = FeedingRun(layers, factor, tensors, {})
        run.forward()
        saved = {name: value for name, value in tensors.items() if not name.endswith(" projected")}
        ctx.arguments = (layers, factor, names, tuple(saved), tuple(run.buffers))
        ctx.save_for_backward(*saved.values(), *run.buffers.values())
        ctx.set_materialize_grads(False)
        return run.buffers["features"][1:], run.buffers["weights"]

    @staticmethod
    def backward(ctx: Any, grad_features: Tensor | None, grad_weights: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("input feeding cannot be differentiated twice (create_graph=True); `Decoder.step` can")
        layers, factor, names, tensor_names, buffer_names = ctx.arguments
        tensors, buffers = split_saved(ctx.saved_tensors, tensor_names, buffer_names)
        found = FeedingRun(layers, factor, tensors, buffers).backward(grad_features, grad_weights)
        return (None, None, None, *(found.get(name) for name in names))


class FeedingRun:
    """One run over all steps, with an explicit backward pass.

    Tensors and buffers of the layers are those of LayersRun. The others are named in `run_feeding`; further buffers are
    features (T + 1, B, F), starting with those fed to the first step, combined (T, B, M + H), contexts and h, weights
    (T, B, S), and queries (T, B, K) if the attention projects them.
    """

    def __init__(self, layers: Layers, factor: float, tensors: NamedTensors, buffers: dict[str, Tensor]) -> None:
        """
        Args:
            layers: properties of the layers.
            factor: factor of the attention's scores.
            tensors: see the class; in a backward pass without the pre-activations.
            buffers: empty for a forward pass, which fills it; those of the forward pass for a backward pass.
        """
        self.tensors, self.buffers = tensors, buffers
        self.layers = LayersRun(layers, tensors, buffers)
        self.steps, self.batch_size = self.layers.steps, self.layers.batch_size
        self.values: Tensor = tensors["values"]
        self.context_size = self.values.shape[2]
        if "features" not in buffers:
            self._allocate()
        library = kernels(self.values)
        assert library is not None
        memory = Memory(self.values, tensors["keys"], tensors["mask"])
        self.attention = NativeAttention(library, memory, tensors["score"], factor)

    def _allocate(self) -> None:
        combine, query_weight = self.tensors["combine"], self.tensors["query_weight"]
        sizes = {"combined": combine.shape[1], "weights": self.values.shape[1]}
        if query_weight is not None:
            sizes["queries"] = len(query_weight)
        for name, size in sizes.items():
            self.buffers[name] = self.values.new_empty(self.steps, self.batch_size, size)
        self.buffers["features"] = self.values.new_empty(self.steps + 1, self.batch_size, len(combine))
        self.buffers["features"][0] = self.tensors["feed"]

    def _product(self, weight: Tensor, bias: Tensor | None = None) -> Product:
        return Product(weight, bias, num_calls=self.steps, rows=self.batch_size)

    def _queries(self, step: int) -> Tensor:
        """The queries of a step, (B, K)."""
        queries = self.buffers.get("queries")
        return self.buffers["combined"][step, :, self.context_size :] if queries is None else queries[step]

    def forward(self) -> None:
        """Runs the forward pass, filling the buffers."""
        combine, query_weight, mask = (self.tensors[name] for name in ("combine", "query_weight", "hidden_mask"))
        features, combined, weights = (self.buffers[name] for name in ("features", "combined", "weights"))
        to_features = self._product(combine)
        to_query = None if query_weight is None else self._product(query_weight, self.tensors["query_bias"])
        self.layers.start_forward()
        for step in range(self.steps):
            hidden = self.layers.step_forward(step, features[step])
            hidden = hidden if mask is None else hidden * mask
            combined[step, :, self.context_size :] = hidden
            if to_query is not None:
                self.buffers["queries"][step] = to_query(hidden)
            self.attention.forward(self._queries(step), weights[step], combined[step, :, : self.context_size])
            torch.tanh(to_features(combined[step]), out=features[step + 1])

    def backward(self, grad_features: Tensor | None, grad_weights: Tensor | None) -> Gradients:
        """Runs the backward pass.

        Args:
            grad_features: (T, B, F) or None.
            grad_weights: (T, B, S) or None.

        Returns:
            Gradients by tensor name.
        """
        features, query_weight = self.buffers["features"], self.tensors["query_weight"]
        to_combined = self._product(self.tensors["combine"].t())
        to_hidden = None if query_weight is None else self._product(query_weight.t())
        incoming = torch.zeros_like(features[1:]) if grad_features is None else grad_features
        self.grad_sums, self.grad_combined = torch.empty_like(features[1:]), torch.empty_like(self.buffers["combined"])
        self.grad_queries = self.values.new_empty(self.steps, self.batch_size, self.tensors["keys"].shape[2])
        self.attention.start_backward(self.batch_size)
        self.layers.start_backward()
        grad = torch.zeros_like(features[0])
        for step in reversed(range(self.steps)):
            squares = features[step + 1].square()
            torch.addcmul(grad := grad + incoming[step], grad, squares, value=-1, out=self.grad_sums[step])
            self.grad_combined[step] = to_combined(self.grad_sums[step])
            grad_hidden = self._attention_backward(step, grad_weights)
            grad_hidden = grad_hidden if to_hidden is None else to_hidden(grad_hidden)
            grad = self.layers.step_backward(step, self._add_hidden_gradient(step, grad_hidden))
        return self._gradients(grad)

    def _attention_backward(self, step: int, grad_weights: Tensor | None) -> Tensor:
        """Returns the gradient of the queries of a step, (B, K)."""
        self.attention.backward(
            self._queries(step),
            self.buffers["weights"][step],
            self.grad_combined[step, :, : self.context_size],
            None if grad_weights is None else grad_weights[step].contiguous(),
            self.grad_queries[step],
        )
        return self.grad_queries[step]

    def _add_hidden_gradient(self, step: int, grad: Tensor) -> Tensor:
        """Adds the gradient through the features to that of h through the queries, (B, H)."""
        mask, total = self.tensors["hidden_mask"], grad + self.grad_combined[step, :, self.context_size :]
        return total if mask is None else total.mul_(mask)

    def _gradients(self, grad_feed: Tensor) -> Gradients:
        """Returns the gradients of all tensors, given that of the features fed to the first step."""
        features, combined, weights = (self.buffers[name] for name in ("features", "combined", "weights"))
        found = self.layers.gradients(features[:-1])
        found["feed"], found["keys"] = grad_feed, self.attention.grad_keys
        found["combine"] = weight_gradient(self.grad_sums.flatten(0, 1), combined.flatten(0, 1))
        grad_contexts = self.grad_combined[:, :, : self.context_size]
        found["values"] = weights.permute(1, 2, 0) @ grad_contexts.transpose(0, 1)
        if self.tensors["query_weight"] is not None:
            grads = self.grad_queries.flatten(0, 1)
            hidden = combined[:, :, self.context_size :].flatten(0, 1)
            found["query_weight"], found["query_bias"] = weight_gradient(grads, hidden), grads.sum(0)
        if self.attention.grad_score is not None:
            found["score"] = self.attention.grad_score.sum(0)
        return found
