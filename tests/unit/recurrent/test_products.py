"""Matrix products of the time loop equal torch's in values and gradients."""

from collections.abc import Sequence

import pytest
import torch
from recurrent_checks import numbers
from torch import Tensor
from torch.nn import functional as F

from sluice.recurrent import products
from sluice.recurrent.products import Product, has_onednn, linear, weight_gradient

N, K = 4, 3
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
dtypes = pytest.mark.parametrize("dtype", list(TOLERANCE))
with_bias = pytest.mark.parametrize("bias", [True, False])
shapes = pytest.mark.parametrize("shape", [(1,), (5,), (6, 5), (2, 6, 5)])
"""Leading dimensions: (B,), (T, B) and more."""


def leaves(shape: tuple[int, ...], dtype: torch.dtype, *, bias: bool, transposed: bool = False) -> list[Tensor]:
    """Inputs, weight and bias that require gradients; a transposed weight is a view of a (K, N) one."""
    inputs, weight = numbers(*shape, K, dtype=dtype), numbers(N, K, seed=2, dtype=dtype)
    if transposed:
        weight = numbers(K, N, seed=2, dtype=dtype).t()
    tensors = [inputs, weight] + ([numbers(N, seed=3, dtype=dtype)] if bias else [])
    return [tensor.requires_grad_() for tensor in tensors]


def close(ours: Tensor | Sequence[Tensor | None], theirs: Tensor | Sequence[Tensor | None]) -> None:
    dtype = next(tensor for tensor in theirs if tensor is not None).dtype
    torch.testing.assert_close(ours, theirs, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_onednn_is_used_for_float32_on_the_cpu_only() -> None:
    assert has_onednn(torch.zeros(1)) == torch.backends.mkldnn.is_available()
    assert not has_onednn(torch.zeros(1, dtype=torch.float64))
    assert not has_onednn(torch.zeros(1, device="meta"))


@dtypes
@with_bias
@shapes
@pytest.mark.parametrize("transposed", [False, True])
def test_linear_equals_torch_linear(shape: tuple[int, ...], bias: bool, dtype: torch.dtype, transposed: bool) -> None:
    tensors = leaves(shape, dtype, bias=bias, transposed=transposed)
    ours, theirs = linear(*tensors), F.linear(*tensors)
    assert ours.shape == (*shape, N)
    close(ours, theirs)
    came = numbers(*shape, N, seed=4, dtype=dtype)
    close(torch.autograd.grad(ours, tensors, came), torch.autograd.grad(theirs, tensors, came))


@dtypes
def test_linear_accepts_non_contiguous_gradients(dtype: torch.dtype) -> None:
    tensors = leaves((6, 5), dtype, bias=True)
    came = numbers(N, 5, 6, seed=4, dtype=dtype).permute(2, 1, 0)
    close(torch.autograd.grad(linear(*tensors), tensors, came), torch.autograd.grad(F.linear(*tensors), tensors, came))
    summed = (
        torch.autograd.grad(linear(*tensors).sum(), tensors),
        torch.autograd.grad(F.linear(*tensors).sum(), tensors),
    )
    close(*summed)


@dtypes
def test_linear_accepts_non_contiguous_inputs(dtype: torch.dtype) -> None:
    inputs, (_, weight, bias) = numbers(K, 5, 6, dtype=dtype).permute(2, 1, 0), leaves((1,), dtype, bias=True)
    close(linear(inputs, weight, bias), F.linear(inputs, weight, bias))
    came = numbers(6, 5, N, seed=4, dtype=dtype)
    ours = torch.autograd.grad(linear(inputs, weight, bias), (weight, bias), came)
    close(ours, torch.autograd.grad(F.linear(inputs, weight, bias), (weight, bias), came))


@dtypes
@pytest.mark.parametrize("needed", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])
def test_only_inputs_that_require_grad_get_gradients(needed: tuple[int, ...], dtype: torch.dtype) -> None:
    def gradients(product: object) -> list[Tensor | None]:
        tensors = leaves((6, 5), dtype, bias=True)
        for index, tensor in enumerate(tensors):
            tensor.requires_grad_(index in needed)
        product(*tensors).square().sum().backward()  # type: ignore[operator]
        return [tensor.grad for tensor in tensors]

    ours, theirs = gradients(linear), gradients(F.linear)
    assert [grad is not None for grad in ours] == [index in needed for index in range(3)]
    close([ours[index] for index in needed], [theirs[index] for index in needed])


@dtypes
@with_bias
@pytest.mark.parametrize("shape", [(5,), (6, 5)])
def test_linear_is_twice_differentiable(shape: tuple[int, ...], bias: bool, dtype: torch.dtype) -> None:
    def second(product: object) -> tuple[Tensor, ...]:
        tensors = leaves(shape, dtype, bias=bias)
        loss = product(*tensors).pow(3).mean()  # type: ignore[operator]
        first = torch.autograd.grad(loss, tensors, create_graph=True)
        return torch.autograd.grad(sum(grad.square().sum() for grad in first), tensors)

    close(second(linear), second(F.linear))


def test_linear_passes_gradgradcheck() -> None:
    tensors = leaves((2,), torch.float64, bias=True)
    through = products._Linear  # in float64 `linear` is torch's own: this is its backward pass with torch's product
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "onednn_linear", F.linear)
        assert torch.autograd.gradcheck(through.apply, tensors)
        assert torch.autograd.gradgradcheck(through.apply, tensors)


@pytest.mark.parametrize(
    "shape",
    [
        (),
        (0,),
    ],
)
def test_linear_accepts_vectors_and_empty_batches(shape: tuple[int, ...]) -> None:
    tensors = leaves(shape, torch.float32, bias=True)
    ours, theirs = (torch.autograd.grad(product(*tensors).sum(), tensors) for product in (linear, F.linear))
    close(ours, theirs)


def test_autocast_linear_has_the_dtype_of_torch_linear() -> None:
    tensors = leaves((5,), torch.float32, bias=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = linear(*tensors), F.linear(*tensors)
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, theirs)


@dtypes
@with_bias
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_product_equals_torch_linear(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, bias: bool, packed: bool, transposed: bool
) -> None:
    threshold = 1 if packed else 2**62
    monkeypatch.setattr(products, "PACKING_THRESHOLD", dict.fromkeys(products.PACKING_THRESHOLD, threshold))
    weight = numbers(K, N, seed=2, dtype=dtype).t() if transposed else numbers(N, K, seed=2, dtype=dtype)
    own_bias = numbers(N, seed=3, dtype=dtype) if bias else None
    product = Product(weight, own_bias, num_calls=8, rows=5)
    assert (product._weight.layout == torch._mkldnn) == (packed and dtype == torch.float32)  # type: ignore[attr-defined]
    for rows in (5, 3, 1, 9):  # more and fewer rows than expected
        inputs = numbers(rows, K, seed=rows, dtype=dtype)
        close(product(inputs), F.linear(inputs, weight, own_bias))


@pytest.mark.parametrize(("transposed", "fewest_uses"), [(False, 3), (True, 5)])
def test_small_or_rarely_used_weight_is_not_packed(
    monkeypatch: pytest.MonkeyPatch, transposed: bool, fewest_uses: int
) -> None:
    monkeypatch.setattr(products, "PACKING_THRESHOLD", {"contiguous": 3 * N * K, "transposed": 5 * N * K})
    weight = numbers(K, N, dtype=torch.float32).t() if transposed else numbers(N, K, dtype=torch.float32)
    assert Product(weight, num_calls=fewest_uses - 1, rows=5)._weight is weight
    assert Product(weight, num_calls=fewest_uses, rows=5)._weight is not weight


@dtypes
@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("avx512", [False, True])
def test_weight_gradient_is_the_sum_over_rows(
    avx512: bool, dtype: torch.dtype, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_has_avx512", lambda: avx512)
    grads, inputs = numbers(rows, N, dtype=dtype), numbers(rows, K, seed=2, dtype=dtype)
    expected = sum(torch.outer(grad, fed) for grad, fed in zip(grads, inputs, strict=True))
    assert isinstance(expected, Tensor)
    close(weight_gradient(grads, inputs), expected)
