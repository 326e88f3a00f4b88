"""Attention: the equations of the papers, normalised weights, and no influence of padding."""

import pytest
import torch
from torch import Tensor

from sluice.layers.attention import AdditiveAttention, Attention, DotAttention, GeneralAttention, make_attention
from sluice.layers.pooling import step_mask
from sluice.options import ATTENTIONS

BATCH, STEPS, SOURCE, SIZE = 3, 4, 6, 5
LENGTHS = torch.tensor([6, 1, 4])
KINDS = pytest.mark.parametrize("kind", [kind for kind in ATTENTIONS if kind != "none"])


def made(kind: str) -> Attention:
    torch.manual_seed(0)
    attention = make_attention(kind, query_size=SIZE, memory_size=SIZE)
    assert attention is not None
    return attention.double()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    queries = torch.randn(BATCH, STEPS, SIZE, generator=draw, dtype=torch.float64)
    mask = step_mask(LENGTHS, SOURCE, torch.device("cpu"))
    values = torch.randn(BATCH, SOURCE, SIZE, generator=draw, dtype=torch.float64) * mask.unsqueeze(-1)
    return queries, values, mask


@KINDS
def test_weights_sum_to_one_and_are_zero_on_padding(kind: str) -> None:
    queries, values, mask = inputs()
    attention = made(kind)
    weights = attention(queries, attention.prepare_memory(values, mask)).weights
    assert torch.allclose(weights.sum(-1), torch.ones(BATCH, STEPS, dtype=torch.float64))
    assert (weights.masked_select(~mask.unsqueeze(1)) == 0).all()
    assert (weights.masked_select(mask.unsqueeze(1)) > 0).all()


@KINDS
def test_context_is_the_weighted_mean(kind: str) -> None:
    queries, values, mask = inputs()
    attention = made(kind)
    context, weights = attention(queries, attention.prepare_memory(values, mask))
    assert torch.allclose(context, torch.einsum("bts,bsm->btm", weights, values))
    assert torch.allclose(context[1], values[1, :1].expand(STEPS, -1)), "a single source word gets all the weight"


@KINDS
def test_single_queries_equal_a_batch_of_queries(kind: str) -> None:
    queries, values, mask = inputs()
    attention = made(kind)
    memory = attention.prepare_memory(values, mask)
    whole = attention(queries, memory)
    for step in range(STEPS):
        alone = attention(queries[:, step : step + 1], memory)
        assert torch.allclose(alone.context[:, 0], whole.context[:, step])
        assert torch.allclose(alone.weights[:, 0], whole.weights[:, step])


@KINDS
def test_padding_has_no_influence(kind: str) -> None:
    queries, values, mask = inputs()
    attention = made(kind)
    expected = attention(queries, attention.prepare_memory(values, mask)).context[2]
    alone = attention(queries[2:], attention.prepare_memory(values[2:, :4], mask[2:, :4])).context[0]
    assert torch.allclose(alone, expected)


@KINDS
def test_memory_select_picks_rows(kind: str) -> None:
    queries, values, mask = inputs()
    attention, rows = made(kind), torch.tensor([2, 0, 0])
    memory = attention.prepare_memory(values, mask)
    chosen = attention(queries[rows], memory.select(rows))
    assert torch.equal(chosen.weights, attention(queries, memory).weights[rows])


def scores_by_hand(attention: Attention, query: Tensor, value: Tensor) -> Tensor:
    """The papers' equations for one query and one value."""
    if isinstance(attention, AdditiveAttention):
        hidden = torch.tanh(attention.query.weight @ query + attention.query.bias + attention.key.weight @ value)
        return attention.score.weight[0] @ hidden
    if isinstance(attention, GeneralAttention):
        return query @ attention.key.weight @ value
    assert isinstance(attention, DotAttention)
    return query @ value * attention.factor


@KINDS
def test_scores_match_the_papers(kind: str) -> None:
    queries, values, mask = inputs()
    attention = made(kind)
    weights = attention(queries, attention.prepare_memory(values, mask)).weights
    for row, length in enumerate(LENGTHS.tolist()):
        for step in range(STEPS):
            scores = torch.stack([scores_by_hand(attention, queries[row, step], value) for value in values[row]])
            assert torch.allclose(weights[row, step, :length], scores[:length].softmax(-1))


def test_only_scaled_dot_attention_scales() -> None:
    assert made("scaled_dot").factor == SIZE**-0.5
    assert made("dot").factor == 1


@KINDS
def test_gradients_pass_gradcheck(kind: str) -> None:
    queries, values, mask = inputs()
    attention = made(kind)

    def context(queries: Tensor, values: Tensor, *parameters: Tensor) -> Tensor:
        own = dict(zip((name for name, _ in attention.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(
            _Whole(attention), {f"attention.{n}": p for n, p in own.items()}, (queries, values, mask)
        )

    given = [queries.requires_grad_(), values.requires_grad_(), *attention.parameters()]
    assert torch.autograd.gradcheck(context, given)


class _Whole(torch.nn.Module):
    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, queries: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        return self.attention(queries, self.attention.prepare_memory(values, mask)).context


def test_unknown_names_and_invalid_sizes_are_refused() -> None:
    assert make_attention("none", query_size=3, memory_size=4) is None
    with pytest.raises(
        ValueError, match="unknown attention 'multiplicative': expected one of none, additive, dot, general, scaled_dot"
    ):
        make_attention("multiplicative", query_size=3, memory_size=3)
    for kind in ("dot", "scaled_dot"):
        with pytest.raises(ValueError, match=f"attention={kind} needs equal sizes, but the decoder has 3 units and"):
            make_attention(kind, query_size=3, memory_size=4)
    with pytest.raises(ValueError, match="the attention's size must be at least 1, got -1"):
        make_attention("additive", query_size=3, memory_size=4, size=-1)
    for kind in ("additive", "general"):
        assert make_attention(kind, query_size=3, memory_size=4) is not None
