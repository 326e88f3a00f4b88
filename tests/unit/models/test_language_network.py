"""LanguageModel: chunks equal one pass, causality, tied weights, dropout."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sluice.decoding.sampling import fixed_length_beam_search
from sluice.layers.embedding import LearnedEmbedding, make_embedding, split_uses
from sluice.layers.heads import make_head
from sluice.layers.native_loss import loss_kernel
from sluice.layers.output_loss import IGNORED
from sluice.models.language import LanguageModel
from sluice.options import EMBEDDINGS
from sluice.recurrent import CELLS, RecurrentStack

torch.set_num_threads(1)  # the tensors are too small for threads

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
    hidden_size: int | list[int] = UNITS,
    dropout: float = 0.0,
    **dropouts: float,
) -> LanguageModel:
    torch.manual_seed(1)
    words = make_embedding(embedding, vocab_size=WORDS, size=size, padding_id=1, word_dropout=0.0)
    stack = RecurrentStack(
        cell=cell,
        input_size=words.output_size,
        hidden_size=hidden_size,
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
    """Inputs and targets (B, T); the last two targets of the last row are ignored."""
    ids = torch.randint(WORDS, (rows, steps + 1), generator=torch.Generator().manual_seed(5))
    targets = ids[:, 1:].clone()
    targets[-1, -2:] = IGNORED
    return ids[:, :-1], targets


def run_in_chunks(model: LanguageModel, inputs: Tensor, targets: Tensor, ends: list[int]) -> tuple[Tensor, Any]:
    """Losses (B, T) and the final state, with the state carried over between the chunks."""
    state, losses = None, []
    for start, end in zip([0, *ends], [*ends, inputs.shape[1]], strict=True):
        output = model(inputs[:, start:end], state)
        losses.append(model.losses(output, targets[:, start:end]))
        state = output.state
    return torch.cat(losses, 1), state


@pytest.mark.parametrize("cell", ALL_CELLS)
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_single_steps_equal_one_pass(cell: str, embedding: str) -> None:
    model = make_model(cell=cell, embedding=embedding)
    whole, last = run_in_chunks(model, *text(), [])
    stepwise, state = run_in_chunks(model, *text(), list(range(1, STEPS)))
    torch.testing.assert_close(stepwise, whole, **LOSSES)
    torch.testing.assert_close(state, last, **LOSSES)


@given(
    st.lists(st.integers(1, STEPS - 1), unique=True, max_size=6).map(sorted),
    st.sampled_from(["lstm", "gru", "rnn"]),
    st.sampled_from(["full", "adaptive"]),
    st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_chunks_equal_one_pass(ends: list[int], cell: str, head: str, tied: bool) -> None:
    model = make_model(cell=cell, head=head, tied=tied)
    whole, last = run_in_chunks(model, *text(), [])
    in_chunks, state = run_in_chunks(model, *text(), ends)
    torch.testing.assert_close(in_chunks, whole, **LOSSES)
    torch.testing.assert_close(state, last, **LOSSES)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_layers_may_differ_in_size(cell: str) -> None:
    """Chunks equal one pass, tied weights need the top layer only, and a search returns what a pass computes."""
    model = make_model(cell=cell, hidden_size=[UNITS + 3, UNITS], tied=True).eval()
    whole, last = run_in_chunks(model, *text(), [])
    in_chunks, state = run_in_chunks(model, *text(), [5, 6])
    torch.testing.assert_close(in_chunks, whole, **LOSSES)
    torch.testing.assert_close(state, last, **LOSSES)
    found = fixed_length_beam_search(model.step, *model.prefill(text(rows=1)[0]), tokens=3, width=4)
    assert found.ids.shape == (4, 3)
    for ids, log_probability in zip(found.ids, found.log_probabilities, strict=True):
        read = torch.cat([text(rows=1)[0], ids.unsqueeze(0)], 1)
        losses = model.losses(model(read[:, :-1]), read[:, 1:])[0, -3:]
        torch.testing.assert_close(-losses.sum(), log_probability.clone(), **LOSSES)


@pytest.mark.parametrize("head", ["full", "adaptive"])
def test_predictions_depend_on_preceding_words_only(head: str) -> None:
    model, (inputs, _) = make_model(head=head), text()
    before = model(inputs).features
    inputs[1, 6] = (inputs[1, 6] + 1) % WORDS
    changed = (model(inputs).features - before).abs().amax(-1) > 1e-6
    expected = torch.zeros(3, STEPS, dtype=torch.bool)
    expected[1, 6:] = True
    assert torch.equal(changed, expected)


@pytest.mark.parametrize("head", ["full", "adaptive"])
def test_batch_loss_is_the_sum_over_its_rows(head: str) -> None:
    model, (inputs, targets) = make_model(head=head), text()
    alone = [model.losses(model(inputs[row : row + 1]), targets[row : row + 1]) for row in range(3)]
    together = model.losses(model(inputs), targets)
    torch.testing.assert_close(together, torch.cat(alone), **LOSSES)
    torch.testing.assert_close(model.total_loss(model(inputs), targets).detach(), together.sum())
    assert (together[-1, -2:] == 0).all()
    assert (together[targets != IGNORED] > 0).all()


@pytest.mark.parametrize("head", ["full", "adaptive"])
@pytest.mark.parametrize("projected", [False, True])
def test_step_equals_the_forward_pass(head: str, projected: bool) -> None:
    model, (inputs, _) = make_model(head=head, projected=projected, size=4).eval(), text()
    features = model(inputs).features
    expected = model.head.log_probabilities(features.flatten(0, 1)).view(3, STEPS, WORDS)
    state: Any = None
    for step in range(STEPS):
        found, state = model.step(inputs[:, step], state)
        torch.testing.assert_close(found, expected[:, step], **LOSSES)
    torch.testing.assert_close(model.next_log_probabilities(model(inputs)), expected[:, -1], **LOSSES)


@pytest.mark.parametrize("steps", [1, 2, STEPS])
def test_prefill_excludes_the_last_token(steps: int) -> None:
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


class TestTiedWeights:
    @pytest.mark.parametrize("head", ["full", "adaptive"])
    def test_embedding_and_output_are_one_parameter(self, head: str) -> None:
        model = make_model(head=head, tied=True)
        assert model.head.weight is model.embedding.table.weight  # type: ignore[union-attr]
        names = [name for name, _ in model.named_parameters()]
        assert "embedding.table.weight" in names
        assert "head.weight" not in names

    @pytest.mark.parametrize("head", ["full", "adaptive"])
    def test_weights_are_still_tied_after_loading(self, head: str, tmp_path: Path) -> None:
        model = make_model(head=head, tied=True)
        torch.save(model.state_dict(), tmp_path / "weights")
        saved = torch.load(tmp_path / "weights", weights_only=True)
        tables = [saved["embedding.table.weight"], saved["head.weight"]]
        assert tables[0].data_ptr() == tables[1].data_ptr(), "stored once in the file"
        loaded: Any = make_model(head=head, tied=True)
        with torch.no_grad():
            loaded.embedding.table.weight.zero_()
        loaded.load_state_dict(saved)
        assert loaded.head.weight is loaded.embedding.table.weight
        inputs, targets = text()
        assert torch.equal(loaded.losses(loaded(inputs), targets), model.losses(model(inputs), targets))

    def test_an_optimizer_step_updates_both(self) -> None:
        model: Any = make_model(tied=True)
        before = model.head.weight.detach().clone()
        model.total_loss(model(text()[0]), text()[1]).backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
        assert not torch.equal(model.head.weight, before)
        assert model.head.weight.data_ptr() == model.embedding.table.weight.data_ptr()


class TestDropout:
    def test_output_dropout_is_the_same_at_every_step(self) -> None:
        model = make_model(output_dropout=0.5)
        output = model(text(rows=9)[0])
        scale = output.dropped / output.outputs
        torch.testing.assert_close(scale, scale[:, :1].expand_as(scale))
        assert set(scale[:, 0].flatten().round().tolist()) == {0.0, 2.0}
        assert len(scale[:, 0].round().unique(dim=0)) > 1, "different rows have different masks"
        assert torch.equal(output.features, output.dropped)

    def test_input_dropout_mask_is_constant_over_steps(self) -> None:
        model = make_model(input_dropout=0.5)
        seen: list[tuple[Tensor, Tensor]] = []
        model.input_dropout.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
        model(text()[0])
        scale = seen[0][1] / seen[0][0]
        torch.testing.assert_close(scale, scale[:, :1].expand_as(scale))

    def test_no_dropout_in_evaluation(self) -> None:
        whole, _ = run_in_chunks(make_model().eval(), *text(), [])
        model = make_model(input_dropout=0.5, output_dropout=0.5, dropout=0.5)
        dropped, _ = run_in_chunks(model, *text(), [])
        assert not torch.allclose(dropped, whole)
        torch.testing.assert_close(run_in_chunks(model.eval(), *text(), [5])[0], whole, **LOSSES)

    @pytest.mark.parametrize("name", ["input_dropout", "output_dropout"])
    @pytest.mark.parametrize("probability", [-0.1, 1.0])
    def test_invalid_probabilities_are_refused(self, name: str, probability: float) -> None:
        with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\)"):
            make_model(**{name: probability})


def test_bidirectional_stacks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be unidirectional.*set model.bidirectional=false"):
        make_model(bidirectional=True)


@every_input
@pytest.mark.parametrize("head", ["full", "adaptive"])
def test_word_parameters_are_those_with_one_row_per_word(embedding: str, head: str, tied: bool) -> None:
    model = make_model(embedding=embedding, head=head, tied=tied, projected=True, size=5)
    state = model.state_dict()
    assert all(len(state[name]) == WORDS for name in model.word_parameters if not name.endswith("weight_ih"))
    with_a_row_a_word = {name for name, tensor in state.items() if len(tensor) == WORDS}
    assert with_a_row_a_word <= set(model.word_parameters)


class TestTiedGradients:
    """The gradients of the two uses of a tied table."""

    @pytest.mark.parametrize("head", ["full", "adaptive"])
    @pytest.mark.parametrize("native", ["1", "0"])
    def test_equal_those_of_separate_uses(self, monkeypatch: pytest.MonkeyPatch, head: str, native: str) -> None:
        """In evaluation, autograd sums a gradient of the table's size for each use."""
        monkeypatch.setenv("SLUICE_NATIVE", native)
        model = make_model(head=head, tied=True)
        inputs, targets = text()
        inputs[0, 3] = 1  # padding, whose vector has no gradient
        trained = torch.autograd.grad(model.total_loss(model(inputs), targets, scale=0.5), list(model.parameters()))
        model.eval()
        expected = torch.autograd.grad(0.5 * model.total_loss(model(inputs), targets), list(model.parameters()))
        torch.testing.assert_close(trained, expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("use", ["features", "head"])
    def test_of_a_single_use_are_dense(self, use: str) -> None:
        model = make_model(tied=True)
        output = model(text()[0])
        loss = output.features.sum() if use == "features" else model.total_loss(output, text()[1])
        loss.backward()
        grad = model.embedding.table.weight.grad
        assert grad.layout == torch.strided
        assert grad.abs().sum() > 0

    @pytest.mark.parametrize("head", ["full", "adaptive"])
    def test_are_written_once(self, head: str) -> None:
        """The output layer writes them; no operation of torch fills, scales or adds tensors of the table's size."""
        model = make_model(head=head, tied=True)
        if loss_kernel(model.embedding.table.weight) is None:
            pytest.skip("torch operations write them several times")
        inputs, targets = text(rows=2, steps=5)  # fewer rows than words
        with TableSized() as seen:
            model.total_loss(model(inputs), targets, scale=1 / targets.numel()).backward()
        assert seen.names - {"view", "detach", "empty_like", "new_empty"} == {"add_"}


class TableSized(TorchDispatchMode):
    """Collects the names of operations that return a tensor of the table's shape."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.shape == (WORDS, UNITS) and made.layout == torch.strided:
            self.names.add(func.__name__.split(".")[0])
            assert func.__name__ != "add_.Tensor" or args[1].is_sparse
        return made


def test_expanded_gradient_of_a_tied_table_is_not_written_to() -> None:
    table = torch.randn(6, 3, requires_grad=True)
    rows, whole = split_uses(table)
    (F.embedding(torch.tensor([1, 4, 4]), rows, sparse=True).sum() + whole.sum()).backward()
    assert table.grad is not None
    assert table.grad[:, 0].tolist() == [1, 2, 1, 1, 3, 1]
