"""Output layers: chunked cross-entropy of the full softmax, and the adaptive softmax."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sluice.layers import output_loss
from sluice.layers.heads import AdaptiveHead, FullHead, Head, make_head
from sluice.layers.output_loss import IGNORED
from sluice.options import HEADS

torch.set_num_threads(1)  # these tensors are tiny: threads only wait for each other

D, V = 6, 23
CUTOFFS = (5, 11)
EVERY_HEAD = ("full", "full tied", "adaptive", "adaptive tied")
every_head = pytest.mark.parametrize("kind", EVERY_HEAD)


def numbers(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def words(rows: int, *, ignored: bool = True, vocab_size: int = V) -> Tensor:
    """Random targets, one in five of them ignored."""
    draw = torch.Generator().manual_seed(2)
    targets = torch.randint(0, vocab_size, (rows,), generator=draw)
    return targets.masked_fill(torch.rand(rows, generator=draw) < 0.2, IGNORED) if ignored else targets


def make(
    kind: str,
    *,
    input_size: int = D,
    vocab_size: int = V,
    cutoffs: tuple[int, ...] = CUTOFFS,
    excluded: tuple[int, ...] = (),
) -> Head:
    """A head with random weights and biases."""
    table = nn.Parameter(torch.empty(vocab_size, input_size)) if kind.endswith("tied") else None
    sizes: Any = {"input_size": input_size, "vocab_size": vocab_size}
    head = make_head(kind.split()[0], **sizes, table=table, cutoffs=cutoffs, excluded=excluded)
    with torch.no_grad():
        for number, parameter in enumerate(head.parameters()):
            parameter.copy_(numbers(*parameter.shape, seed=10 + number) * 0.7)
    return head


@pytest.fixture(autouse=True, params=["kernel", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with the C kernel and with torch operations."""
    monkeypatch.setenv("SLUICE_NATIVE", "1" if request.param == "kernel" else "0")


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of two rows."""
    monkeypatch.setattr(output_loss, "CHUNK", 2)


class LargestTensor(TorchDispatchMode):
    """Records the size of the largest tensor that is created."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return made


def plain(features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(features, weight, bias), targets, ignore_index=IGNORED, reduction="sum")


class TestFull:
    @pytest.mark.parametrize("rows", [0, 1, 255, 256, 257, 600])
    @pytest.mark.parametrize("ignored", [False, True])
    def test_equals_cross_entropy_in_value_and_gradients(self, rows: int, ignored: bool) -> None:
        head, targets = make("full"), words(rows, ignored=ignored)
        parts: Any = (numbers(rows, D).requires_grad_(), head.weight, head.bias)
        loss, expected = head.total_loss(parts[0], targets), plain(*parts, targets)
        torch.testing.assert_close(loss, expected, rtol=2e-6, atol=1e-5)
        found = torch.autograd.grad(loss / 7, parts)
        for ours, theirs in zip(found, torch.autograd.grad(expected / 7, parts), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)

    @pytest.mark.usefixtures("small_chunks")
    @pytest.mark.parametrize("targets", [[3, 0, 4, 1, 1], [3, IGNORED, IGNORED, 2, 0], [IGNORED] * 5], ids=str)
    def test_gradients_pass_gradcheck(self, targets: list[int]) -> None:
        head = FullHead(input_size=3, vocab_size=5).double()
        parts: Any = [numbers(5, 3, dtype=torch.float64), numbers(5, 3, seed=2, dtype=torch.float64)]
        parts = [part.requires_grad_() for part in (*parts, numbers(5, seed=3, dtype=torch.float64))]

        def loss(features: Tensor, weight: Tensor, bias: Tensor) -> Any:
            replaced = {"weight": weight, "bias": bias}
            return torch.func.functional_call(Total(head), replaced_names(replaced), (features, torch.tensor(targets)))

        assert torch.autograd.gradcheck(loss, parts)

    @pytest.mark.usefixtures("small_chunks")
    @pytest.mark.parametrize("frozen", ["features", "weight", "bias", "all"])
    def test_frozen_inputs_get_no_gradient(self, frozen: str) -> None:
        head, targets = make("full"), words(9)
        features = numbers(9, D)
        for name, part in {"features": features, "weight": head.weight, "bias": head.bias}.items():
            part.requires_grad_(frozen not in (name, "all"))
        wanted = [part for part in (features, head.weight, head.bias) if part.requires_grad]
        loss, expected = head.total_loss(features, targets), plain(features, head.weight, head.bias, targets)
        torch.testing.assert_close(loss, expected)
        assert loss.requires_grad == bool(wanted)
        if wanted:
            found = torch.autograd.grad(loss, wanted)
            torch.testing.assert_close(found, torch.autograd.grad(expected, wanted))

    def test_gradients_add_up_over_calls(self) -> None:
        head, targets, features = make("full"), words(300), numbers(300, D)
        head.total_loss(features, targets).backward()
        once = head.weight.grad.clone()
        head.total_loss(features, targets).backward()
        torch.testing.assert_close(head.weight.grad, 2 * once)

    def test_tied_table_sums_both_gradients(self) -> None:
        embedding = nn.Embedding.from_pretrained(numbers(V, D, seed=7), freeze=False)
        head: Any = make_head("full", input_size=D, vocab_size=V, table=embedding.weight)
        assert head.weight is embedding.weight
        ids, targets = words(300, ignored=False), words(300)
        (found,) = torch.autograd.grad(head.total_loss(embedding(ids), targets), [embedding.weight])
        own, read = (embedding.weight.detach().clone().requires_grad_() for _ in range(2))
        parts = torch.autograd.grad(plain(F.embedding(ids, read), own, head.bias, targets), [own, read])
        torch.testing.assert_close(found, sum(parts), rtol=1e-4, atol=5e-5)

    @pytest.mark.parametrize("by", ["training", "evaluation"])
    def test_logits_of_all_rows_are_never_allocated(self, by: str) -> None:
        rows, vocab_size = 1000, 3000
        head, targets = make("full", vocab_size=vocab_size), words(rows, vocab_size=vocab_size)
        features = numbers(rows, D).requires_grad_()
        with LargestTensor() as seen:
            if by == "training":
                head.total_loss(features, targets).backward()
            else:
                head.losses(features, targets)
        assert seen.largest <= rows * vocab_size / 2
        with LargestTensor() as seen:
            plain(features, head.weight, head.bias, targets).backward()
        assert seen.largest == rows * vocab_size, "plain cross-entropy does allocate them"

    def test_autocast_loss_is_close_to_float32(self) -> None:
        head, targets, features = make("full"), words(300), numbers(300, D).requires_grad_()
        parts: Any = (features, head.weight, head.bias)
        with torch.autocast("cpu", torch.bfloat16):
            loss = head.total_loss(features, targets)
        assert loss.dtype == torch.float32
        expected = plain(*parts, targets)
        torch.testing.assert_close(loss, expected, rtol=1e-2, atol=0)
        for ours, theirs in zip(torch.autograd.grad(loss, parts), torch.autograd.grad(expected, parts), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05 * float(theirs.abs().max()))

    def test_autocast_does_not_allocate_all_logits(self) -> None:
        head, targets = make("full", vocab_size=3000), words(1000, vocab_size=3000)
        with LargestTensor() as seen, torch.autocast("cpu", torch.bfloat16):
            head.total_loss(numbers(1000, D).requires_grad_(), targets).backward()
        assert seen.largest <= 1000 * 3000 / 2


class Total(nn.Module):
    """`total_loss` as a forward, so that weights can be passed in."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        return self.head.total_loss(features, targets)


def replaced_names(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"head.{name}": tensor for name, tensor in parameters.items()}


class TestEveryHead:
    @every_head
    def test_probabilities_sum_to_one(self, kind: str) -> None:
        logs = make(kind).log_probabilities(numbers(50, D))
        assert logs.shape == (50, V)
        torch.testing.assert_close(logs.logsumexp(1), torch.zeros(50), rtol=0, atol=2e-6)

    @every_head
    @pytest.mark.parametrize("rows", [1, 300])
    def test_losses_are_negative_log_probabilities(self, kind: str, rows: int) -> None:
        head, features, targets = make(kind), numbers(rows, D), words(rows)
        logs = head.log_probabilities(features).detach()
        expected = -logs.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1) * (targets != IGNORED)
        losses = head.losses(features.requires_grad_(), targets)
        torch.testing.assert_close(losses, expected)
        assert not losses.requires_grad
        torch.testing.assert_close(head.total_loss(features, targets).detach(), losses.sum())

    @every_head
    def test_double_precision(self, kind: str) -> None:
        head, features, targets = make(kind).double(), numbers(30, D, dtype=torch.float64), words(30, ignored=False)
        expected = -head.log_probabilities(features).gather(1, targets.unsqueeze(1)).squeeze(1)
        losses = head.losses(features, targets)
        assert losses.dtype == torch.float64
        torch.testing.assert_close(losses, expected.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(head.total_loss(features, targets), expected.sum(), rtol=1e-12, atol=0)

    @every_head
    def test_loss_gradients_match_log_probabilities(self, kind: str) -> None:
        head, targets = make(kind), words(300)
        parts = [numbers(300, D).requires_grad_(), *head.parameters()]
        counted = targets != IGNORED
        expected = -head.log_probabilities(parts[0])[counted].gather(1, targets[counted].unsqueeze(1)).sum()
        found = torch.autograd.grad(head.total_loss(parts[0], targets), parts)
        for ours, theirs in zip(found, torch.autograd.grad(expected, parts), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)

    @every_head
    def test_every_weight_gets_a_gradient(self, kind: str) -> None:
        head = make(kind)
        head.total_loss(numbers(300, D), words(300)).backward()
        for name, parameter in head.named_parameters():
            assert (parameter.grad.abs().flatten(1 if parameter.dim() > 1 else 0).amax(-1) > 0).all(), name

    @every_head
    @pytest.mark.parametrize("targets", [[], [IGNORED] * 4, [0, 4], [22]], ids=str)
    def test_groups_without_targets_have_finite_loss(self, kind: str, targets: list[int]) -> None:
        head, features = make(kind), numbers(len(targets), D).requires_grad_()
        loss = head.total_loss(features, torch.tensor(targets, dtype=torch.int64))
        loss.backward()
        assert all(parameter.grad is not None for parameter in head.parameters())
        assert loss.isfinite()
        if all(target == IGNORED for target in targets):
            assert loss == 0
            assert all(not parameter.grad.any() for parameter in head.parameters())

    @every_head
    def test_loaded_head_gives_the_same_probabilities(self, kind: str) -> None:
        head, other = make(kind), make(kind)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        other.load_state_dict(head.state_dict())
        features = numbers(5, D)
        assert torch.equal(other.log_probabilities(features), head.log_probabilities(features))


class TestExcludedWords:
    @every_head
    def test_other_probabilities_are_renormalised(self, kind: str) -> None:
        """p(w) = p_V(w) / (1 − p_V(excluded)), with p_V over the whole vocabulary."""
        head, whole, features = make(kind, excluded=(1,)), make(kind), numbers(300, D)
        everything = whole.log_probabilities(features).exp()
        expected = everything / (1 - everything[:, 1:2])
        expected[:, 1] = 0
        torch.testing.assert_close(head.log_probabilities(features).exp(), expected)
        targets = words(300)
        targets[targets == 1] = 0
        losses = -expected.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1).log() * (targets != IGNORED)
        torch.testing.assert_close(head.losses(features, targets), losses, rtol=1e-4, atol=1e-5)

    @every_head
    def test_gradients_equal_those_of_the_probabilities(self, kind: str) -> None:
        head, whole, targets = make(kind, excluded=(1,)), make(kind), words(300)
        targets[targets == 1] = 0
        counted, features = targets != IGNORED, numbers(300, D).requires_grad_()
        everything = whole.log_probabilities(features)[counted].exp()
        expected = (1 - everything[:, 1]).log().sum() - everything.gather(1, targets[counted, None]).log().sum()
        found = torch.autograd.grad(head.total_loss(features, targets), [features, *head.parameters()])
        for ours, theirs in zip(found, torch.autograd.grad(expected, [features, *whole.parameters()]), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)

    @every_head
    def test_weights_of_a_head_without_them_load(self, kind: str) -> None:
        head, whole = make(kind, excluded=(1,)), make(kind)
        head.load_state_dict(whole.state_dict())
        assert {name: part.shape for name, part in head.state_dict().items()} == {
            name: part.shape for name, part in whole.state_dict().items()
        }

    def test_excluded_word_behind_the_first_cutoff_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"the first cutoff must be above the excluded words \[1\], got 1"):
            make("adaptive", cutoffs=(1, 5), excluded=(1,))


def torch_adaptive_softmax(head: Any) -> nn.AdaptiveLogSoftmaxWithLoss:
    """torch's layer with the same weights; its clusters have no biases, so ours are zeroed."""
    theirs = nn.AdaptiveLogSoftmaxWithLoss(32, V, list(CUTOFFS), div_value=4.0, head_bias=True)
    with torch.no_grad():
        head.bias[CUTOFFS[0] :] = 0
        theirs.head.weight.copy_(torch.cat([head.rows[0], head.groups.weight]))
        theirs.head.bias.copy_(torch.cat([head.bias[: CUTOFFS[0]], head.groups.bias]))
        for tail, own_map, rows in zip(theirs.tail, head.maps, list(head.rows)[1:], strict=True):
            tail[0].weight.copy_(own_map.weight)
            tail[1].weight.copy_(rows)
    return theirs


class TestAdaptive:
    def test_equals_torch_adaptive_log_softmax(self) -> None:
        head: Any = make("adaptive", input_size=32)
        theirs = torch_adaptive_softmax(head)
        features, targets = numbers(300, 32), words(300, ignored=False)
        torch.testing.assert_close(head.log_probabilities(features), theirs.log_prob(features))
        torch.testing.assert_close(head.losses(features, targets), -theirs(features, targets).output.detach())
        torch.testing.assert_close(head.total_loss(features, targets), 300 * theirs(features, targets).loss)

    def test_tied_groups_use_all_features_and_table_rows(self) -> None:
        head: Any = make("adaptive tied")
        features = numbers(4, D)
        logits = F.linear(features, head.weight, head.bias)
        first = torch.cat([logits[:, :5], head.groups(features)], 1).log_softmax(1)
        groups = [logits[:, 5:11].log_softmax(1) + first[:, 5:6], logits[:, 11:].log_softmax(1) + first[:, 6:7]]
        expected = torch.cat([first[:, :5], *groups], 1)
        torch.testing.assert_close(head.log_probabilities(features), expected)

    @pytest.mark.parametrize("kind", ["adaptive", "adaptive tied"])
    def test_rare_words_are_computed_only_for_rare_targets(self, kind: str) -> None:
        rows, vocab_size = 500, 4000
        head = make(kind, vocab_size=vocab_size, cutoffs=(100, 1000))
        targets = words(rows, vocab_size=100)
        targets[:3], targets[3:5] = 500, 3999
        with LargestTensor() as seen:
            head.total_loss(numbers(rows, D).requires_grad_(), targets).backward()
        assert seen.largest <= 2 * max(rows * 102, vocab_size * D)

    @pytest.mark.parametrize("cutoffs", [(), (0, 5), (5, 5), (11, 5), (5, V), (5, 40)], ids=str)
    def test_cutoffs_not_rising_within_vocabulary_are_refused(self, cutoffs: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"must increase, above 0 and below the vocabulary size of 23 words"):
            AdaptiveHead(input_size=D, vocab_size=V, cutoffs=cutoffs)


@pytest.mark.parametrize("kind", HEADS)
def test_tied_table_of_another_size_is_refused(kind: str) -> None:
    table = nn.Parameter(torch.zeros(V, 9))
    message = r"the embedding size is 9, the output layer's 6; set embedding.size"
    with pytest.raises(ValueError, match=message):
        make_head(kind, input_size=D, vocab_size=V, table=table, cutoffs=CUTOFFS)


def test_unknown_head_error_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="unknown output layer 'fuller': expected one of full, adaptive"):
        make_head("fuller", input_size=D, vocab_size=V)
