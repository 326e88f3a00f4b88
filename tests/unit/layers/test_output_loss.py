"""The output loss equals torch's cross-entropy in values and gradients, by the C kernel and by torch operations."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sluice.layers import native_loss
from sluice.layers import output_loss as module
from sluice.layers.native_loss import Gradients, RowLosses, loss_kernel, row_losses
from sluice.layers.output_loss import IGNORED, cross_entropies, exclude, linear_cross_entropy, split_weight

WORDS, SIZE = 11, 4


@pytest.fixture(autouse=True, params=["kernel", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with the C kernel and with torch operations."""
    monkeypatch.setenv("SLUICE_NATIVE", "1" if request.param == "kernel" else "0")


def random_inputs(rows: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(rows)
    features, weight, bias = (
        torch.randn(*shape, generator=draw, dtype=dtype).requires_grad_()
        for shape in ((rows, SIZE), (WORDS, SIZE), (WORDS,))
    )
    return features, weight, bias, torch.randint(WORDS, (rows,), generator=draw)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("rows", [1, 3, 7, 20])
def test_equals_torch_cross_entropy(monkeypatch: pytest.MonkeyPatch, rows: int, smoothing: float) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    features, weight, bias, targets = random_inputs(rows)
    logits = F.linear(features, weight, bias)
    expected = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing)
    made = linear_cross_entropy(features, weight, bias, targets, smoothing=smoothing)
    assert torch.allclose(made.smoothed, expected)
    assert torch.allclose(made.plain, F.cross_entropy(logits, targets, reduction="sum"))
    assert made.correct == (logits.argmax(-1) == targets).sum()
    parameters = [features, weight, bias]
    for mine, theirs in zip(
        torch.autograd.grad(2.5 * made.smoothed, parameters),
        torch.autograd.grad(2.5 * expected, parameters),
        strict=True,
    ):
        assert torch.allclose(mine, theirs)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("excluded", [(1,), (1, 2), (WORDS - 1,)], ids=str)
@pytest.mark.parametrize("biased", [True, False])
def test_excluded_words_are_not_in_the_softmax(
    monkeypatch: pytest.MonkeyPatch, smoothing: float, excluded: tuple[int, ...], biased: bool
) -> None:
    """The loss equals torch's over a vocabulary without these words, one row of weights fewer for each."""
    monkeypatch.setattr(module, "CHUNK", 3)
    features, weight, bias, _ = random_inputs(20)
    kept = [word for word in range(WORDS) if word not in excluded]
    ranks = torch.arange(20) % len(kept)
    logits = F.linear(features, weight[kept], bias[kept] if biased else None)
    expected = F.cross_entropy(logits, ranks, reduction="sum", label_smoothing=smoothing)
    made = linear_cross_entropy(
        features, weight, bias if biased else None, torch.tensor(kept)[ranks], smoothing=smoothing, excluded=excluded
    )
    torch.testing.assert_close(made.smoothed, expected)
    torch.testing.assert_close(made.plain, F.cross_entropy(logits, ranks, reduction="sum").detach())
    assert made.correct == (logits.argmax(-1) == ranks).sum()
    parameters = [features, weight, bias] if biased else [features, weight]
    found = torch.autograd.grad(made.smoothed, parameters)
    torch.testing.assert_close(found, torch.autograd.grad(expected, parameters))
    assert not found[1][list(excluded)].any()


def test_equals_torch_in_float32_without_bias() -> None:
    features, weight, _, targets = random_inputs(700, torch.float32)
    made = linear_cross_entropy(features, weight, None, targets, smoothing=0.1)
    expected = F.cross_entropy(F.linear(features, weight), targets, reduction="sum", label_smoothing=0.1)
    assert torch.allclose(made.smoothed, expected, rtol=1e-5)
    for mine, theirs in zip(
        torch.autograd.grad(made.smoothed, [features, weight]),
        torch.autograd.grad(expected, [features, weight]),
        strict=True,
    ):
        assert torch.allclose(mine, theirs, atol=1e-4)


@pytest.mark.parametrize("incoming", [1.0, 3.0])
def test_scale_multiplies_loss_and_gradients(incoming: float) -> None:
    *inputs, targets = random_inputs(20)
    scaled = linear_cross_entropy(*inputs, targets, smoothing=0.1, excluded=(2,), scale=0.25)
    whole = linear_cross_entropy(*inputs, targets, smoothing=0.1, excluded=(2,))
    torch.testing.assert_close(scaled.smoothed, 0.25 * whole.smoothed)
    torch.testing.assert_close(scaled.plain, whole.plain)
    found = torch.autograd.grad(incoming * scaled.smoothed, inputs)
    torch.testing.assert_close(found, torch.autograd.grad(0.25 * incoming * whole.smoothed, inputs))


def test_only_inputs_that_require_grad_get_gradients() -> None:
    features, weight, bias, targets = random_inputs(5)
    linear_cross_entropy(features.detach(), weight, bias.detach(), targets).smoothed.backward()
    assert features.grad is None
    assert weight.grad is not None
    with torch.no_grad():
        assert not linear_cross_entropy(features, weight, bias, targets).smoothed.requires_grad


def test_plain_loss_has_no_gradient() -> None:
    made = linear_cross_entropy(*random_inputs(5))
    assert not made.plain.requires_grad
    assert not made.correct.requires_grad


def test_autocast_loss_is_close_to_float32() -> None:
    features, weight, bias, targets = random_inputs(5, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = linear_cross_entropy(features, weight, bias, targets, smoothing=0.1)
    expected = linear_cross_entropy(features, weight, bias, targets, smoothing=0.1)
    assert torch.allclose(made.smoothed, expected.smoothed, rtol=0.05)
    made.smoothed.backward()
    assert weight.grad is not None


def test_invalid_smoothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"label_smoothing must lie in \[0, 1\), got 1"):
        linear_cross_entropy(*random_inputs(2), smoothing=1.0)


class Case(NamedTuple):
    """Sizes and options of a loss."""

    rows: int
    size: int
    words: int
    smoothing: float = 0.0
    excluded: tuple[int, ...] = ()
    biased: bool = True
    scale: float = 1.0


CASES = (
    Case(1, 1, 2),
    Case(1, 5, 300, 0.1, (299,)),
    Case(5, 3, 1, 0.2),
    Case(17, 33, 129, 0.0, (0, 128), biased=False),
    Case(385, 7, 131, 0.3, (1, 2)),
    Case(800, 20, 517, 0.0, (3,)),
    Case(1161, 65, 260, 0.1),
    Case(40, 16, 500, scale=300.0),
    Case(40, 16, 500, 0.1, scale=1e-4),
)


def float32_inputs(case: Case) -> tuple[list[Tensor], Tensor]:
    """Features, weight and bias, and targets of which one in five is ignored."""
    draw = torch.Generator().manual_seed(case.rows)
    shapes = ((case.rows, case.size), (case.words, case.size), (case.words,))[: 3 if case.biased else 2]
    inputs = [torch.randn(*shape, generator=draw) * case.scale**0.5 for shape in shapes]
    targets = torch.randint(case.words, (case.rows,), generator=draw)
    kept = next(word for word in range(case.words) if word not in case.excluded)
    targets[torch.isin(targets, torch.tensor(case.excluded, dtype=torch.int64))] = kept
    targets[4::5] = IGNORED
    return [part.requires_grad_() for part in inputs], targets


def reference(case: Case, inputs: list[Tensor], targets: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Loss with and without smoothing and gradients, by log_softmax in float64."""
    parts = [part.detach().double().requires_grad_() for part in inputs]
    logits = F.linear(*parts[:2], parts[2] if case.biased else None)
    logs = exclude(logits.new_zeros(case.words), case.excluded).add(logits).log_softmax(-1)
    counted = targets != IGNORED
    kept = [word for word in range(case.words) if word not in case.excluded]
    plain = -logs[counted].gather(1, targets[counted, None]).sum()
    smoothed = (1 - case.smoothing) * plain - case.smoothing * logs[counted][:, kept].mean(1).sum()
    return smoothed, plain, torch.autograd.grad(smoothed, parts)


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_is_exact_to_1e_5(case: Case, threads: int) -> None:
    inputs, targets = float32_inputs(case)
    weight, bias = inputs[1], inputs[2] if case.biased else None
    made = linear_cross_entropy(inputs[0], weight, bias, targets, smoothing=case.smoothing, excluded=case.excluded)
    smoothed, plain, grads = reference(case, inputs, targets)
    torch.testing.assert_close(made.smoothed.double(), smoothed, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(made.plain.double(), plain, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(torch.autograd.grad(made.smoothed, inputs), grads, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max() + 1))


def test_results_do_not_depend_on_the_run(threads: int) -> None:
    inputs, targets = float32_inputs(CASES[6])
    made = [linear_cross_entropy(*inputs, targets, smoothing=0.1).smoothed for _ in range(3)]
    grads = [torch.autograd.grad(loss, inputs) for loss in made]
    assert torch.equal(made[0], made[2])
    assert all(torch.equal(one, other) for one, other in zip(grads[0], grads[2], strict=True))


class TestRoundedFactors:
    """The kernel with factors in bfloat16, which does not depend on the processor's instructions for it."""

    @staticmethod
    def losses(case: Case, inputs: list[Tensor], targets: Tensor) -> tuple[RowLosses, list[Tensor]]:
        """Losses of the rows, and the gradients."""
        features, weight, bias = [*inputs, None][:3]
        library = loss_kernel(weight)
        if library is None:
            pytest.skip("torch operations do not round factors")
        grads = [torch.full_like(part, torch.nan) for part in inputs]
        if case.excluded:
            bias = exclude(torch.zeros(case.words) if bias is None else bias.detach(), case.excluded)
        arguments = {"ignored": IGNORED, "smoothing": case.smoothing, "grads": Gradients(*grads), "bfloat16": True}
        with torch.no_grad():
            return row_losses(library, features, weight, bias, targets, excluded=case.excluded, **arguments), grads

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_is_exact_for_the_rounded_factors(self, case: Case, threads: int) -> None:
        inputs, targets = float32_inputs(case)
        rounded = [*(part.bfloat16().float() for part in inputs[:2]), *inputs[2:]]
        made, grads = self.losses(case, inputs, targets)
        smoothed, plain, expected = reference(case, [part.detach() for part in rounded], targets)
        torch.testing.assert_close(made.smoothed.sum().double(), smoothed, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(made.plain.sum().double(), plain, rtol=1e-5, atol=1e-5)
        for mine, theirs in zip(grads, expected, strict=True):  # the gradient of the logits is rounded, too
            torch.testing.assert_close(mine.double(), theirs, rtol=2**-8, atol=2**-8 * float(theirs.abs().max()))

    @pytest.mark.parametrize("part", ["features", "weight", "bias"])
    def test_gradients_do_not_depend_on_those_that_are_needed(self, part: str) -> None:
        case = CASES[4]
        inputs, targets = float32_inputs(case)
        _, complete = self.losses(case, inputs, targets)
        expected = Gradients(*complete)._asdict()[part]
        alone = torch.full_like(expected, torch.nan)
        bias = exclude(inputs[2].detach(), case.excluded)
        arguments = {"ignored": IGNORED, "smoothing": case.smoothing, "excluded": case.excluded, "bfloat16": True}
        with torch.no_grad():
            library = loss_kernel(inputs[1])
            row_losses(library, *inputs[:2], bias, targets, grads=Gradients(**{part: alone}), **arguments)
        torch.testing.assert_close(alone, expected, rtol=0, atol=0)

    @pytest.mark.parametrize("value", [torch.nan, torch.inf])
    @pytest.mark.parametrize("part", [0, 1])
    def test_nonfinite_values_are_kept(self, part: int, value: float) -> None:
        case = Case(20, 6, 300)
        inputs, targets = float32_inputs(case)
        with torch.no_grad():
            inputs[part].view(-1)[0] = value
        made, grads = self.losses(case, inputs, targets)
        assert not made.plain.sum().isfinite()
        assert not grads[1].isfinite().all()

    def test_float64_is_refused(self) -> None:
        inputs, targets = float32_inputs(CASES[0])
        with pytest.raises(ValueError, match=r"bfloat16 needs tensors of float32, got torch\.float64"):
            self.losses(CASES[0], [part.double() for part in inputs], targets)

    @pytest.mark.parametrize("available", [True, False])
    def test_is_used_under_autocast_where_it_is_fast(self, monkeypatch: pytest.MonkeyPatch, available: bool) -> None:
        case = Case(40, 30, 200)
        inputs, targets = float32_inputs(case)
        rounded, _ = self.losses(case, inputs, targets)
        monkeypatch.setattr(loss_kernel(inputs[1]), "multiplies_bfloat16", available)
        with torch.autocast("cpu", torch.bfloat16):
            under_autocast = linear_cross_entropy(*inputs, targets).plain, cross_entropies(*inputs, targets).sum()
        plain = linear_cross_entropy(*inputs, targets).plain
        assert all(torch.equal(loss, rounded.plain.sum() if available else plain) for loss in under_autocast)
        assert not torch.equal(plain, rounded.plain.sum())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_nonfinite_inputs_reach_loss_and_gradients(part: int, value: float) -> None:
    inputs, targets = float32_inputs(Case(20, 6, 300))
    with torch.no_grad():
        inputs[part].view(-1)[0] = value
    loss = linear_cross_entropy(*inputs, targets).smoothed
    assert not loss.isfinite()
    assert not torch.autograd.grad(loss, inputs)[1].isfinite().all()


def test_first_of_equal_logits_is_the_prediction() -> None:
    features, weight = torch.ones(4, 3), torch.zeros(300, 3)
    assert linear_cross_entropy(features, weight, None, torch.tensor([0, 1, 299, IGNORED])).correct == 1


@pytest.mark.parametrize("target", [300, -1])
def test_target_outside_the_vocabulary_is_refused(target: int) -> None:
    features, weight = torch.ones(2, 3), torch.zeros(300, 3)
    if loss_kernel(weight) is None:
        pytest.skip("torch operations fail in another way")
    with pytest.raises(IndexError, match=f"target {target} is out of bounds for 300 words"):
        linear_cross_entropy(features, weight, None, torch.tensor([0, target]))


@pytest.mark.parametrize("wrong", range(4))
def test_sizes_that_do_not_match_are_refused(wrong: int) -> None:
    """The kernel would read beyond the end of the memory."""
    inputs = list(random_inputs(6))
    inputs[wrong] = (inputs[wrong][:, :2] if inputs[wrong].ndim == 2 else inputs[wrong][:3]).detach()
    with pytest.raises((ValueError, RuntimeError), match=r"must be \(N, D\)|shape|size"):
        linear_cross_entropy(*inputs)  # type: ignore[arg-type]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("divisor", [1, 3])
def test_second_backward_through_a_kept_graph_is_equal(grouped: bool, divisor: int) -> None:
    inputs, targets = float32_inputs(Case(20, 6, 30))
    features, weight, bias = inputs
    loss = linear_cross_entropy(*inputs, targets).smoothed / divisor
    if grouped:
        groups, memory = split_weight(weight, [10, 20])
        pairs = zip(groups, bias.split([10, 20]), memory, strict=True)
        loss = sum(
            (linear_cross_entropy(features, *pair, targets % 10, grad_weight=grads).smoothed for *pair, grads in pairs),
            start=loss,
        )
    first = torch.autograd.grad(loss, inputs, retain_graph=True)
    again = torch.autograd.grad(loss, inputs, retain_graph=True)
    last = torch.autograd.grad(loss, inputs)
    for grads in zip(first, again, last, strict=True):
        torch.testing.assert_close(grads[1:], (grads[0], grads[0]))


def test_gradients_of_groups_are_not_concatenated() -> None:
    weight = torch.randn(30, 6, requires_grad=True)
    groups, memory = split_weight(weight, [10, 20])
    losses = [
        linear_cross_entropy(torch.randn(4, 6), group, None, torch.arange(4), grad_weight=part).smoothed
        for group, part in zip(groups, memory, strict=True)
    ]
    sum(losses).backward()
    assert weight.grad.data_ptr() == memory[0].data_ptr()


def test_processors_without_avx_use_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_loss, "kernels", lambda _: SimpleNamespace(vector_bytes=16))
    assert loss_kernel(torch.zeros(3, 2)) is None
