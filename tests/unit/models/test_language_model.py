"""The language model as a whole: chunks read in turn are one long text, and each step sees the past alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sluice.layers.embedding import LearnedEmbedding, make_embedding
from sluice.layers.heads import make_head
from sluice.layers.output_loss import IGNORED
from sluice.models.language import LanguageModel
from sluice.options import EMBEDDINGS
from sluice.recurrent import CELLS, RecurrentStack

torch.set_num_threads(1)  # these tensors are tiny: threads only wait for each other

WORDS, UNITS, STEPS = 12, 6, 14
ALL_CELLS = sorted(name for name, cell in CELLS.items() if cell.__module__.startswith("sluice."))
every_input = pytest.mark.parametrize(
    ("embedding", "tied"), [*((name, False) for name in EMBEDDINGS), ("learned", True)]
)
LOSSES = {"rtol": 1e-5, "atol": 1e-5}


def make_model(
    *,
    cell: str = "lstm",
    embedding: str = "learned",
    head: str = "full",
    tied: bool = False,
    size: int = UNITS,
    initial_state: str = "learned",
    bidirectional: bool = False,
    projected: bool = False,
    dropout: float = 0.0,
    **dropouts: float,
) -> LanguageModel:
    torch.manual_seed(1)
    words = make_embedding(embedding, vocab_size=WORDS, size=size, padding_id=1, word_dropout=0.0)
    stack = RecurrentStack(
        cell=cell,
        input_size=words.output_size,
        hidden_size=UNITS,
        num_layers=2,
        bidirectional=bidirectional,
        dropout=dropout,
        initial_state=initial_state,
        one_hot=words.one_hot,
    )
    table = words.table.weight if tied and isinstance(words, LearnedEmbedding) else None
    features = size if projected else stack.output_size
    model = LanguageModel(
        embedding=words,
        recurrent=stack,
        head=make_head(head, input_size=features, vocab_size=WORDS, table=table, cutoffs=(4, 7)),
        projection=nn.Linear(stack.output_size, size) if projected else None,
        **dropouts,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


def text(rows: int = 3, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    """Inputs and targets (B, T), the last row's last steps ignored."""
    ids = torch.randint(WORDS, (rows, steps + 1), generator=torch.Generator().manual_seed(5))
    targets = ids[:, 1:].clone()
    targets[-1, -2:] = IGNORED
    return ids[:, :-1], targets


def read_in_chunks(model: LanguageModel, inputs: Tensor, targets: Tensor, ends: list[int]) -> tuple[Tensor, Any]:
    """Losses (B, T) and the last state, each chunk begun with the state of the one before."""
    state, losses = None, []
    for start, end in zip([0, *ends], [*ends, inputs.shape[1]], strict=True):
        read = model(inputs[:, start:end], state)
        losses.append(model.losses(read, targets[:, start:end]))
        state = read.state
    return torch.cat(losses, 1), state


@pytest.mark.parametrize("cell", ALL_CELLS)
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_reading_step_by_step_is_one_long_pass(cell: str, embedding: str) -> None:
    model = make_model(cell=cell, embedding=embedding)
    whole, last = read_in_chunks(model, *text(), [])
    stepwise, state = read_in_chunks(model, *text(), list(range(1, STEPS)))
    torch.testing.assert_close(stepwise, whole, **LOSSES)
    torch.testing.assert_close(state, last, **LOSSES)


@given(
    st.lists(st.integers(1, STEPS - 1), unique=True, max_size=6).map(sorted),
    st.sampled_from(["lstm", "gru", "rnn"]),
    st.sampled_from(["full", "adaptive"]),
    st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_chunks_of_any_length_are_one_long_pass(ends: list[int], cell: str, head: str, tied: bool) -> None:
    model = make_model(cell=cell, head=head, tied=tied)
    whole, last = read_in_chunks(model, *text(), [])
    in_chunks, state = read_in_chunks(model, *text(), ends)
    torch.testing.assert_close(in_chunks, whole, **LOSSES)
    torch.testing.assert_close(state, last, **LOSSES)


@pytest.mark.parametrize("head", ["full", "adaptive"])
def test_a_prediction_hangs_on_the_words_before_it_alone(head: str) -> None:
    model, (inputs, _) = make_model(head=head), text()
    before = model(inputs).features
    inputs[1, 6] = (inputs[1, 6] + 1) % WORDS
    changed = (model(inputs).features - before).abs().amax(-1) > 1e-6
    expected = torch.zeros(3, STEPS, dtype=torch.bool)
    expected[1, 6:] = True
    assert torch.equal(changed, expected)


@pytest.mark.parametrize("head", ["full", "adaptive"])
def test_the_loss_of_a_batch_is_that_of_its_rows(head: str) -> None:
    model, (inputs, targets) = make_model(head=head), text()
    alone = [model.losses(model(inputs[row : row + 1]), targets[row : row + 1]) for row in range(3)]
    together = model.losses(model(inputs), targets)
    torch.testing.assert_close(together, torch.cat(alone), **LOSSES)
    torch.testing.assert_close(model.total_loss(model(inputs), targets).detach(), together.sum())
    assert (together[-1, -2:] == 0).all()
    assert (together[targets != IGNORED] > 0).all()


@pytest.mark.parametrize("head", ["full", "adaptive"])
@pytest.mark.parametrize("projected", [False, True])
def test_a_step_is_the_next_step_of_a_pass(head: str, projected: bool) -> None:
    model, (inputs, _) = make_model(head=head, projected=projected, size=4).eval(), text()
    features = model(inputs).features
    expected = model.head.log_probabilities(features.flatten(0, 1)).view(3, STEPS, WORDS)
    state: Any = None
    for step in range(STEPS):
        found, state = model.step(inputs[:, step], state)
        torch.testing.assert_close(found, expected[:, step], **LOSSES)
    torch.testing.assert_close(model.next_log_probabilities(model(inputs)), expected[:, -1], **LOSSES)


@pytest.mark.parametrize("steps", [1, 2, STEPS])
def test_warming_up_leaves_the_last_token_to_the_first_step(steps: int) -> None:
    model, (inputs, _) = make_model(), text(steps=steps)
    last, state = model.prefill(inputs)
    assert torch.equal(last, inputs[:, -1])
    assert (state is None) == (steps == 1)
    torch.testing.assert_close(model.step(last, state)[0], model.next_log_probabilities(model(inputs)), **LOSSES)


@every_input
@pytest.mark.parametrize("head", ["full", "adaptive"])
def test_every_parameter_gets_a_gradient(embedding: str, head: str, tied: bool) -> None:
    model = make_model(embedding=embedding, head=head, tied=tied, projected=True)
    model.total_loss(model(text()[0]), text()[1]).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


class TestTied:
    @pytest.mark.parametrize("head", ["full", "adaptive"])
    def test_one_table_is_read_and_written(self, head: str) -> None:
        model = make_model(head=head, tied=True)
        assert model.head.weight is model.embedding.table.weight  # type: ignore[union-attr]
        names = [name for name, _ in model.named_parameters()]
        assert "embedding.table.weight" in names
        assert "head.weight" not in names

    @pytest.mark.parametrize("head", ["full", "adaptive"])
    def test_it_is_still_one_table_after_loading(self, head: str, tmp_path: Path) -> None:
        model = make_model(head=head, tied=True)
        torch.save(model.state_dict(), tmp_path / "weights")
        saved = torch.load(tmp_path / "weights", weights_only=True)
        tables = [saved["embedding.table.weight"], saved["head.weight"]]
        assert tables[0].data_ptr() == tables[1].data_ptr(), "the file holds it once"
        loaded: Any = make_model(head=head, tied=True)
        with torch.no_grad():
            loaded.embedding.table.weight.zero_()
        loaded.load_state_dict(saved)
        assert loaded.head.weight is loaded.embedding.table.weight
        inputs, targets = text()
        assert torch.equal(loaded.losses(loaded(inputs), targets), model.losses(model(inputs), targets))

    def test_a_step_of_the_optimiser_moves_both_ends_alike(self) -> None:
        model: Any = make_model(tied=True)
        before = model.head.weight.detach().clone()
        model.total_loss(model(text()[0]), text()[1]).backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
        assert not torch.equal(model.head.weight, before)
        assert model.head.weight.data_ptr() == model.embedding.table.weight.data_ptr()


class TestDropout:
    def test_units_are_dropped_for_a_whole_row_and_kept_ones_grow(self) -> None:
        model = make_model(output_dropout=0.5)
        read = model(text(rows=9)[0])
        scale = read.dropped / read.outputs
        torch.testing.assert_close(scale, scale[:, :1].expand_as(scale))
        assert set(scale[:, 0].flatten().round().tolist()) == {0.0, 2.0}
        assert len(scale[:, 0].round().unique(dim=0)) > 1, "each row loses units of its own"
        assert torch.equal(read.features, read.dropped)

    def test_input_dropout_is_the_same_at_every_step(self) -> None:
        model = make_model(input_dropout=0.5)
        seen: list[tuple[Tensor, Tensor]] = []
        model.input_dropout.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
        model(text()[0])
        scale = seen[0][1] / seen[0][0]
        torch.testing.assert_close(scale, scale[:, :1].expand_as(scale))

    def test_nothing_is_dropped_in_evaluation(self) -> None:
        whole, _ = read_in_chunks(make_model().eval(), *text(), [])
        model = make_model(input_dropout=0.5, output_dropout=0.5, dropout=0.5)
        dropped, _ = read_in_chunks(model, *text(), [])
        assert not torch.allclose(dropped, whole)
        torch.testing.assert_close(read_in_chunks(model.eval(), *text(), [5])[0], whole, **LOSSES)

    @pytest.mark.parametrize("name", ["input_dropout", "output_dropout"])
    @pytest.mark.parametrize("share", [-0.1, 1.0])
    def test_a_share_outside_its_range_is_refused(self, name: str, share: float) -> None:
        with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\)"):
            make_model(**{name: share})


def test_two_directions_are_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"would see the words that it is to predict; set model.bidirectional=false"):
        make_model(bidirectional=True)


@every_input
@pytest.mark.parametrize("head", ["full", "adaptive"])
def test_word_parameters_have_a_row_a_word_and_no_other_does(embedding: str, head: str, tied: bool) -> None:
    model = make_model(embedding=embedding, head=head, tied=tied, projected=True, size=5)
    state = model.state_dict()
    assert all(len(state[name]) == WORDS for name in model.word_parameters if not name.endswith("weight_ih"))
    with_a_row_a_word = {name for name, tensor in state.items() if len(tensor) == WORDS}
    assert with_a_row_a_word <= set(model.word_parameters)
