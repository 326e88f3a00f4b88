"""Without torch's private functions the public ones give the same results."""

import copy
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sluice import torch_internals
from sluice.optim.row_adagrad import summed_rows
from sluice.recurrent.cells.base import make_cell
from sluice.recurrent.devices import lacks_autocast
from sluice.recurrent.products import Product, has_onednn, linear
from sluice.torch_internals import (
    accepts_flat_cudnn_weights,
    has_onednn_linear,
    keeps_graph,
    onednn_linear,
    onednn_supports,
    packed_weight,
)

INPUTS, WEIGHT, BIAS = torch.randn(5, 7), torch.randn(6, 7), torch.randn(6)


@pytest.fixture
def without_onednn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A torch without private oneDNN operators."""
    torch_internals._onednn_operator.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(torch_internals.torch, "ops", SimpleNamespace(mkldnn=SimpleNamespace()))
        yield
    torch_internals._onednn_operator.cache_clear()


@pytest.mark.parametrize("rows", [1, 5])
def test_packed_weight_gives_the_same_product(rows: int) -> None:
    if not has_onednn_linear():
        pytest.skip("torch has no oneDNN")
    packed = packed_weight(WEIGHT, rows)
    assert packed is not WEIGHT
    torch.testing.assert_close(onednn_linear(INPUTS, packed, BIAS), F.linear(INPUTS, WEIGHT, BIAS))


@pytest.mark.usefixtures("without_onednn")
def test_products_without_private_operators() -> None:
    assert not has_onednn(INPUTS)
    assert packed_weight(WEIGHT, 5) is WEIGHT
    expected = F.linear(INPUTS, WEIGHT, BIAS)
    assert torch.equal(onednn_linear(INPUTS, WEIGHT, BIAS), expected)
    assert torch.equal(linear(INPUTS, WEIGHT, BIAS), expected)
    assert torch.equal(Product(WEIGHT, BIAS, num_calls=2**40, rows=5)(INPUTS), expected)


@pytest.mark.usefixtures("without_onednn")
def test_precision_is_assumed_to_be_supported() -> None:
    assert onednn_supports(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert not lacks_autocast(torch.device("cpu"))


@pytest.mark.parametrize("supported", [True, False])
def test_support_is_that_of_the_operator(monkeypatch: pytest.MonkeyPatch, supported: bool) -> None:
    operators = SimpleNamespace(_is_mkldnn_bf16_supported=lambda: supported)
    monkeypatch.setattr(torch_internals.torch, "ops", SimpleNamespace(mkldnn=operators))
    assert onednn_supports(torch.bfloat16) == supported
    assert onednn_supports(torch.float16)
    assert onednn_supports(torch.float32)


@pytest.mark.parametrize("name", ["_use_cudnn_rnn_flatten_weight", "_cudnn_rnn_flatten_weight"])
def test_cells_are_not_flattened_without_the_function(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch, "_use_cudnn_rnn_flatten_weight", lambda: True)
    monkeypatch.delattr(torch, name)
    assert not accepts_flat_cudnn_weights()
    make_cell("lstm", input_size=3, hidden_size=2).double()


class Public:
    """A sparse tensor without private methods."""

    def __init__(self, tensor: Tensor) -> None:
        self.coalesce: Callable[[], Tensor] = tensor.coalesce


def test_sparse_rows_are_summed_without_private_methods() -> None:
    ids, rows = torch.tensor([[3, 1, 3, 0]]), torch.randn(4, 2)
    gradient = torch.sparse_coo_tensor(ids, rows, (5, 2))
    expected = summed_rows(copy.copy(gradient))
    torch.testing.assert_close(summed_rows(Public(gradient)), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("kept", [False, True])
def test_kept_graphs_are_recognised(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    tensor = torch.ones(2, requires_grad=True)
    tensor.register_hook(lambda _: seen.append(keeps_graph()))
    tensor.sum().backward(retain_graph=kept)
    monkeypatch.delattr(torch._C._autograd, "_get_current_graph_task_keep_graph")
    tensor.sum().backward()
    assert seen == [kept, True]
