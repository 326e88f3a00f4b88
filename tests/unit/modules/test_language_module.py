"""LanguageModelModule: truncated backpropagation through time, training loss, metrics."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.optim import SGD, AdamW
from torch.utils.data import DataLoader

from sluice.data.streams import ChunkBatch
from sluice.layers.embedding import make_embedding
from sluice.layers.heads import make_head
from sluice.layers.output_loss import IGNORED
from sluice.models.language import LanguageModel
from sluice.modules.base import Monitor
from sluice.modules.language import LanguageModelModule
from sluice.optim.nt_asgd import NTASGD
from sluice.optim.schedules import linear
from sluice.recurrent import RecurrentStack

torch.set_num_threads(1)  # the tensors are too small for threads

WORDS, UNITS, STEPS, ROWS = 9, 5, 12, 3
STAGES = ("train", "val", "test")


def make_task(
    *,
    cell: str = "lstm",
    hidden_size: int | list[int] = UNITS,
    output_dropout: float = 0.0,
    seed: int = 1,
    **options: Any,
) -> LanguageModelModule:
    torch.manual_seed(seed)
    words = make_embedding("learned", vocab_size=WORDS, size=UNITS, padding_id=1, word_dropout=0.0)
    stack = RecurrentStack(cell=cell, input_size=UNITS, hidden_size=hidden_size, num_layers=2, initial_state="learned")
    model = LanguageModel(
        embedding=words,
        recurrent=stack,
        head=make_head("full", input_size=UNITS, vocab_size=WORDS),
        output_dropout=output_dropout,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape))
    given_options: dict[str, Any] = {"chunk_length": 4, **options}
    task = LanguageModelModule(network=model, monitor=Monitor("val/perplexity", "min"), **given_options)
    task.log = task.log_dict = lambda *_, **__: None  # type: ignore[assignment, method-assign]
    return task


def text(seed: int = 5) -> tuple[Tensor, Tensor]:
    ids = torch.randint(WORDS, (ROWS, STEPS + 1), generator=torch.Generator().manual_seed(seed))
    targets = ids[:, 1:].clone()
    targets[-1, -2:] = IGNORED
    return ids[:, :-1], targets


def chunks(ends: Sequence[int], seed: int = 5) -> list[ChunkBatch]:
    """The text split at these steps."""
    inputs, targets = text(seed)
    cut = [(start, end) for start, end in zip([0, *ends], [*ends, STEPS], strict=True)]
    return [
        ChunkBatch(inputs[:, a:b], targets[:, a:b], first=a == 0, tokens=int((targets[:, a:b] != IGNORED).sum()))
        for a, b in cut
    ]


def loss_of(task: LanguageModelModule, batch: ChunkBatch, stage: str) -> float:
    """Σ −log p of a chunk."""
    return task.model_step(batch, stage)[0].item()


def gradients(task: LanguageModelModule, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(task.network.parameters()), allow_unused=True, materialize_grads=True))


def loss_split_at(task: LanguageModelModule, ends: Sequence[int], *, detached: bool) -> Tensor:
    """Reference: Σ −log p of the chunks, the state carried over with or without its gradient."""
    inputs, targets = text()
    state, total = None, torch.zeros(())
    for start, end in zip([0, *ends], [*ends, STEPS], strict=True):
        output = task.network(inputs[:, start:end], state)
        total = total + task.network.total_loss(output, targets[:, start:end])
        state = type(output.state)(*(part.detach() for part in output.state)) if detached else output.state
    return total


def test_state_of_another_number_of_streams_is_not_carried_over() -> None:
    """A run may be resumed with another batch size."""
    task, (first, second) = make_task(), chunks([4])
    task.model_step(first, "train")
    fewer = ChunkBatch(second.inputs[:2], second.targets[:2], first=False, tokens=second.tokens)
    assert loss_of(task, fewer, "train") == loss_of(make_task(), replace(fewer, first=True), "train")


borders = st.lists(st.integers(1, STEPS - 1), unique=True, max_size=4).map(sorted)


@pytest.mark.parametrize("stage", STAGES)
@given(ends=borders, cell=st.sampled_from(["lstm", "gru"]))
@settings(deadline=None, max_examples=15)
def test_loss_of_chunks_equals_one_pass(stage: str, ends: list[int], cell: str) -> None:
    task = make_task(cell=cell)
    with torch.no_grad():
        (whole,) = (task.model_step(batch, stage)[0] for batch in chunks([]))
        in_chunks = sum(loss_of(task, batch, stage) for batch in chunks(ends))
    assert in_chunks == pytest.approx(float(whole), rel=1e-5)


@given(ends=borders.filter(bool), cell=st.sampled_from(["lstm", "gru"]))
@settings(deadline=None, max_examples=15)
def test_gradients_stop_at_chunk_boundaries_only(ends: list[int], cell: str) -> None:
    task = make_task(cell=cell)
    found = [gradients(task, task.model_step(batch, "train")[0]) for batch in chunks(ends)]
    in_chunks = [torch.stack(parts).sum(0) for parts in zip(*found, strict=True)]
    cut = gradients(task, loss_split_at(task, ends, detached=True))
    whole = gradients(task, loss_split_at(task, ends, detached=False))
    torch.testing.assert_close(in_chunks, cut, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole, gradients(task, loss_split_at(task, [], detached=False)), rtol=1e-4, atol=1e-4)
    assert any(not torch.allclose(one, other, atol=1e-3) for one, other in zip(in_chunks, whole, strict=True))


def test_gradients_reach_the_start_of_a_chunk() -> None:
    task = make_task()
    seen: list[Tensor] = []
    task.network.embedding.register_forward_hook(lambda _, __, out: seen.append(out))
    first, second = chunks([7])
    second.targets[:, :-1], second.targets[:, -1] = IGNORED, 0
    task.model_step(first, "train")
    loss = task.model_step(second, "train")[0]
    before, within = torch.autograd.grad(loss, seen, allow_unused=True)
    assert before is None
    assert (within.abs().amax(-1) > 0).all(), "at every step of the chunk"


def test_carried_state_is_detached() -> None:
    task = make_task()
    task.model_step(chunks([7])[0], "train")
    assert all(not part.requires_grad for part in task.recurrent_state()["train"])


class TestStages:
    @pytest.mark.parametrize("stage", STAGES)
    def test_states_of_stages_are_separate(self, stage: str) -> None:
        first, second = chunks([7])
        alone, mixed = make_task(), make_task()
        expected = [loss_of(alone, batch, stage) for batch in (first, second)]
        found = [loss_of(mixed, first, stage)]
        for other in STAGES:
            if other != stage:
                for batch in chunks([7], seed=6):
                    mixed.model_step(batch, other)
        found.append(loss_of(mixed, second, stage))
        assert found == expected

    @pytest.mark.parametrize("stage", STAGES)
    def test_first_chunks_start_from_the_initial_state(self, stage: str) -> None:
        task, batches = make_task(), chunks([7])
        once = [loss_of(task, batch, stage) for batch in batches]
        again = [loss_of(task, batch, stage) for batch in batches]
        assert again == once
        batches[0].first = False
        assert loss_of(task, batches[0], stage) != pytest.approx(once[0], rel=1e-4)

    def test_next_text_may_have_another_batch_size(self) -> None:
        task = make_task()
        task.model_step(chunks([7])[0], "val")
        inputs, targets = text()
        small = ChunkBatch(inputs[:1], targets[:1], first=True, tokens=STEPS)
        expected = make_task().model_step(small, "val")[0]
        assert torch.equal(task.model_step(small, "val")[0], expected)


@pytest.mark.parametrize("hidden_size", [UNITS, [3, UNITS]], ids=["equal", "unequal"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_loaded_recurrent_state_continues_the_text(cell: str, hidden_size: int | list[int]) -> None:
    first, second = chunks([7])
    task, other = (make_task(cell=cell, hidden_size=hidden_size) for _ in range(2))
    assert task.recurrent_state() == {}
    task.model_step(first, "train")
    saved = {name: [part.clone() for part in parts] for name, parts in task.recurrent_state().items()}
    other.load_recurrent_state(saved)
    assert torch.equal(other.model_step(second, "train")[0], task.model_step(second, "train")[0])


class TestTrainingLoss:
    def test_loss_is_divided_by_the_size_of_the_chunk(self) -> None:
        task, batches = make_task(), chunks([7])
        for number, batch in enumerate(batches):
            expected = make_task()
            for before in batches[:number]:
                expected.model_step(before, "train")
            total = expected.model_step(batch, "train")[0]
            torch.testing.assert_close(task.training_step(batch, number), total / batch.targets.numel())

    def test_regularisation_matches_the_formula(self) -> None:
        batch = chunks([])[0]
        tasks = [
            make_task(output_dropout=0.5, activation_regularisation=alpha, temporal_regularisation=beta)
            for alpha, beta in ((0.0, 0.0), (2.0, 0.0), (0.0, 3.0), (2.0, 3.0))
        ]
        losses, outputs = [], []
        for task in tasks:
            torch.manual_seed(7)
            losses.append(task.training_step(batch, 0))
            torch.manual_seed(7)
            outputs.append(task.network(batch.inputs))
        output = outputs[0]
        size = output.dropped.square().mean()
        change = (output.outputs[:, 1:] - output.outputs[:, :-1]).square().mean()
        assert not torch.equal(output.dropped, output.outputs)
        for loss, expected in zip(losses[1:], (2 * size, 3 * change, 2 * size + 3 * change), strict=True):
            torch.testing.assert_close(loss - losses[0], expected, rtol=1e-4, atol=1e-6)

    def test_no_temporal_regularisation_for_one_step(self) -> None:
        batch = chunks([1])[0]
        plain, regularised = make_task(), make_task(temporal_regularisation=3.0)
        assert torch.equal(plain.training_step(batch, 0), regularised.training_step(batch, 0))


class Rates(pl.Callback):
    """Records the learning rate before each step and after each batch."""

    def __init__(self) -> None:
        self.before: list[float] = []
        self.after: list[float] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: torch.optim.Optimizer) -> None:
        self.before.append(optimizer.param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.after.append(trainer.optimizers[0].param_groups[0]["lr"])


class TestLearningRateOfChunks:
    """Merity, Keskar & Socher (2018): mean loss of a chunk, clipping, then a step of lr · steps / chunk_length."""

    ENDS = (2, 8, 9)
    """Chunks of 2, 6, 1 and 3 steps; a full one has 4."""

    def fit(self, accumulate: int = 1, **options: Any) -> tuple[LanguageModelModule, Rates]:
        task, rates = make_task(**options), Rates()
        del task.log, task.log_dict
        trainer = pl.Trainer(
            **{"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"},
            **{"enable_checkpointing": False, "max_epochs": 1, "gradient_clip_val": 0.25},
            accumulate_grad_batches=accumulate,
            callbacks=[rates],
        )
        trainer.fit(task, DataLoader(chunks(self.ENDS), batch_size=None))  # type: ignore[arg-type]
        return task, rates

    def by_hand(self, make_optimizer: Any, steps: Sequence[tuple[float, Sequence[int]]]) -> LanguageModelModule:
        """Trains with the given learning rate of a full chunk and the given chunks in each step."""
        task, batches, state = make_task(), chunks(self.ENDS), None
        optimizer = make_optimizer(task.network.parameters())
        for rate, numbers in steps:
            optimizer.zero_grad()
            for number in numbers:
                output = task.network(batches[number].inputs, state)
                state = type(output.state)(*(part.detach() for part in output.state))
                logs = task.network.head.log_probabilities(output.features.flatten(0, 1))
                total = torch.nn.functional.nll_loss(logs, batches[number].targets.flatten(), reduction="sum")
                (total / batches[number].targets.numel() / len(numbers)).backward()
            torch.nn.utils.clip_grad_norm_(task.network.parameters(), 0.25)
            lengths = [batches[number].inputs.shape[1] for number in numbers]
            optimizer.param_groups[0]["lr"] = rate * sum(lengths) / len(lengths) / 4
            optimizer.step()
        return task

    def assert_equal(self, task: LanguageModelModule, expected: LanguageModelModule) -> None:
        for ours, theirs in zip(task.network.parameters(), expected.network.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            pytest.param(partial(SGD, lr=3.0), partial(SGD, lr=3.0), id="sgd"),
            pytest.param(partial(NTASGD, lr=3.0, weight_decay=0.1), partial(SGD, lr=3.0, weight_decay=0.1), id="nt"),
            pytest.param(partial(AdamW, lr=0.1, fused=True), partial(AdamW, lr=0.1, fused=False), id="adamw"),
        ],
    )
    def test_step_is_proportional_to_the_length(self, ours: Any, theirs: Any) -> None:
        lr = ours.keywords["lr"]
        task, rates = self.fit(optimizer=ours)
        self.assert_equal(task, self.by_hand(theirs, [(lr, [number]) for number in range(4)]))
        assert rates.before == rates.after == [lr] * 4, "logs and checkpoints contain the rate of a full chunk"

    def test_schedule_is_not_affected(self) -> None:
        task, rates = self.fit(optimizer=partial(SGD, lr=4.0), schedule=linear)
        assert rates.before == pytest.approx([4, 3, 2, 1])
        assert rates.after == pytest.approx([3, 2, 1, 0])
        self.assert_equal(task, self.by_hand(partial(SGD, lr=4.0), [(4, [0]), (3, [1]), (2, [2]), (1, [3])]))

    def test_accumulated_chunks_share_their_mean_factor(self) -> None:
        task, _ = self.fit(accumulate=2, optimizer=partial(SGD, lr=3.0))
        self.assert_equal(task, self.by_hand(partial(SGD, lr=3.0), [(3, [0, 1]), (3, [2, 3])]))


@pytest.mark.parametrize("stage", ["validate", "test"])
@pytest.mark.parametrize("ends", [[], [7], [1, 2, 11]], ids=str)
def test_metrics_are_computed_over_all_tokens(stage: str, ends: list[int]) -> None:
    task = make_task(character_level=True)
    del task.log, task.log_dict
    loader: Any = DataLoader(chunks(ends), batch_size=None)  # type: ignore[arg-type]
    quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    (metrics,) = getattr(pl.Trainer(**quiet), stage)(task, loader, verbose=False)
    found = {name.split("/")[1]: value for name, value in metrics.items()}
    inputs, targets = text()
    losses = task.network.losses(task.network(inputs), targets)
    loss = float(losses.sum() / (targets != IGNORED).sum())
    assert found == {
        "loss": pytest.approx(loss, rel=1e-5),
        "perplexity": pytest.approx(math.exp(loss), rel=1e-5),
        "bits_per_character": pytest.approx(loss / math.log(2), rel=1e-5),
    }


def test_validation_metrics_are_those_logged() -> None:
    assert set(make_task().validation_metrics) == {"val/loss", "val/perplexity"}
    assert set(make_task(character_level=True).validation_metrics) == {
        "val/loss",
        "val/perplexity",
        "val/bits_per_character",
    }
