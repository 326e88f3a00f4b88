"""Attention by the C kernel of attention.h, one query per row: forward, and the gradients."""

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from sluice.layers.attention import AdditiveAttention, Attention, DotAttention, GeneralAttention, Memory
from sluice.recurrent.fused.native import Library, address, counts, kernels, pointers
from sluice.recurrent.products import linear


class AttentionFields(ctypes.Structure):
    """Struct Attention of attention.h."""

    _fields_ = (
        counts("rows", "steps", "inner", "width", "query_stride", "context_stride")
        + pointers("queries", "keys", "values", "score", "mask", "sequences", "weights", "context")
        + pointers("grad_context", "grad_weights", "grad_queries", "grad_keys", "grad_score", "grad_scores")
        + [("factor", ctypes.c_double)]
    )


class Terms(NamedTuple):
    """What the kernel computes: v · tanh(W q + b + key), or factor · q · key without W, b and v."""

    query_weight: Tensor | None
    """W, (K, Q)."""
    query_bias: Tensor | None
    """b, (K,)."""
    score: Tensor | None
    """v, (K,)."""
    factor: float


def attention_terms(attention: Attention) -> Terms | None:
    """Returns the terms of an attention of Sluice; None for a subclass, whose equations are unknown."""
    if type(attention) is AdditiveAttention:
        return Terms(attention.query.weight, attention.query.bias, attention.score.weight.squeeze(0), 1.0)
    if type(attention) in (GeneralAttention, DotAttention):
        return Terms(None, None, None, attention.factor if isinstance(attention, DotAttention) else 1.0)
    return None


def attention_kernel(attention: Attention, memory: Memory) -> Library | None:
    """Returns the library if its kernel computes this attention with this memory."""
    if torch.compiler.is_compiling() or attention_terms(attention) is None:
        return None
    dtypes = {memory.values.dtype, memory.keys.dtype, *(parameter.dtype for parameter in attention.parameters())}
    autocast = torch.is_autocast_enabled(memory.values.device.type)
    return None if autocast or len(dtypes) > 1 else kernels(memory.values)


class NativeAttention:
    """The kernel with one memory."""

    def __init__(
        self, library: Library, memory: Memory, score: Tensor | None, factor: float, sequences: Tensor | None = None
    ) -> None:
        """
        Args:
            library: the kernels.
            memory: the attended sequences.
            score: v, see Terms.
            factor: see Terms.
            sequences: (R,) int64, the sequence of each query; None for the sequences in order.
        """
        self._library, self._sequences = library, sequences
        self._memory, self._score = Memory(*(tensor.contiguous() for tensor in memory)), score
        values, keys, mask = self._memory
        self._fields = AttentionFields(
            steps=mask.shape[1],
            inner=keys.shape[2],
            width=values.shape[2],
            keys=address(keys),
            values=address(values),
            mask=address(mask),
            score=address(score),
            sequences=address(sequences),
            factor=factor,
        )

    def forward(self, queries: Tensor, weights: Tensor, context: Tensor) -> None:
        """Overwrites weights and contexts.

        Args:
            queries: (R, K), projected; rows may be any distance apart.
            weights: (R, S), contiguous.
            context: (R, M); rows may be any distance apart.
        """
        self._set(queries, weights, context)
        self._library.attention_forward(ctypes.addressof(self._fields))

    def _set(self, queries: Tensor, weights: Tensor, context: Tensor) -> None:
        torch.get_num_threads()  # applies torch's thread count in a new Python thread
        fields = self._fields
        if queries.shape[1] != fields.inner:
            raise ValueError(
                f"queries of {queries.shape[1]} units cannot attend to keys of {fields.inner}: make the query_size of "
                "the attention the hidden size of the decoder"
            )
        fields.rows, fields.weights = len(queries), address(weights)
        fields.queries, fields.query_stride = queries.data_ptr(), queries.stride(0)
        fields.context, fields.context_stride = context.data_ptr(), context.stride(0)

    def start_backward(self, rows: int) -> None:
        """Prepares a backward pass over several calls with the same `rows` queries."""
        values, keys, mask = self._memory
        self.grad_keys = torch.zeros_like(keys)
        """(B, S, K), summed over the calls."""
        self.grad_score = None if self._score is None else keys.new_zeros(rows, keys.shape[2])
        """(R, K), summed over the calls."""
        self._scratch = values.new_empty(rows, mask.shape[1])
        self._fields.grad_keys, self._fields.grad_score = address(self.grad_keys), address(self.grad_score)
        self._fields.grad_scores = address(self._scratch)

    def backward(
        self, queries: Tensor, weights: Tensor, grad_context: Tensor, grad_weights: Tensor | None, grad_queries: Tensor
    ) -> None:
        """Overwrites the gradient of the queries and adds to those of the keys and of v.

        Args:
            queries: (R, K), as in the forward pass.
            weights: (R, S), the results of the forward pass.
            grad_context: (R, M); rows may be any distance apart.
            grad_weights: (R, S), contiguous, or None.
            grad_queries: (R, K), contiguous.
        """
        self._set(queries, weights, grad_context)
        self._fields.grad_context, self._fields.grad_weights = grad_context.data_ptr(), address(grad_weights)
        self._fields.grad_queries = address(grad_queries)
        self._library.attention_backward(ctypes.addressof(self._fields))


def attend_rows(
    attention: Attention, queries: Tensor, memory: Memory, sequences: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Attends with one query per row; several rows may attend to one sequence.

    Args:
        attention: the attention.
        queries: (R, Q).
        memory: the sequences, prepared by `attention.prepare_memory`.
        sequences: (R,) int64, the sequence of each row; None for the sequences in order.

    Returns:
        Contexts (R, M) and weights (R, S).
    """
    library, terms = attention_kernel(attention, memory), attention_terms(attention)
    if library is None or terms is None or torch.is_grad_enabled() or queries.dtype != memory.keys.dtype:
        own = memory if sequences is None else memory.select(sequences)
        context, weights = attention(queries.unsqueeze(1), own)
        return context.squeeze(1), weights.squeeze(1)
    if terms.query_weight is not None:
        queries = linear(queries, terms.query_weight, terms.query_bias)
    queries = queries if queries.stride(1) == 1 else queries.contiguous()
    context = queries.new_empty(len(queries), memory.values.shape[2])
    weights = queries.new_empty(len(queries), memory.mask.shape[1])
    NativeAttention(library, memory, terms.score, terms.factor, sequences).forward(queries, weights, context)
    return context, weights
