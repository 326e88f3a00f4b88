"""User modules that register a cell: imported once, with all features of built-in cells."""

from pathlib import Path

import pytest
import torch

from custom_cell import write_cell
from sluice.config import user_code as own_cells
from sluice.config.user_code import allow_module, import_module, is_allowed
from sluice.errors import UserError
from sluice.recurrent import CELLS, CellOptions, OneHot, RecurrentStack, make_cell

DERIVED = """
from sluice.recurrent import cells

@cells.register_cell("derived")
class Derived(cells.{parent}):
    def step(self, projected, state, recurrent):
        state, gates = super().step(projected, state, recurrent)
        return state._replace(hidden=state.hidden * 0 + 7), gates
"""

pytestmark = pytest.mark.usefixtures("custom_code_unregistered")


@pytest.fixture(autouse=True)
def _named_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_cells, "is_allowed", lambda path, setting: True)


def test_module_not_named_on_command_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_cells, "is_allowed", is_allowed)
    path = write_cell(tmp_path / "mine.py")
    with pytest.raises(UserError, match="user code runs only if the command line names it"):
        import_module(path)
    allow_module(path)
    import_module(path)
    assert "mgu" in CELLS


@pytest.fixture
def mgu(custom_code_unregistered: None, _named_on_the_command_line: None, tmp_path: Path) -> None:
    """The minimal gated unit, imported."""
    import_module(write_cell(tmp_path / "mine.py"))


def stack_of_mgu(**chosen: object) -> RecurrentStack:
    torch.manual_seed(0)
    return RecurrentStack(cell="mgu", input_size=3, hidden_size=4, **chosen).double()  # type: ignore[arg-type]


def test_imported_cell_is_registered(tmp_path: Path) -> None:
    assert "mgu" not in CELLS
    import_module(write_cell(tmp_path / "mine.py"))
    assert make_cell("mgu", input_size=3, hidden_size=4).gates == ("forget", "new")


def test_module_is_run_once_under_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_cell(tmp_path / "mine.py")
    import_module(path)
    first = CELLS["mgu"]
    monkeypatch.chdir(tmp_path)
    import_module(Path("mine.py"))
    assert CELLS["mgu"] is first


def test_modules_of_equal_name_in_two_folders_are_both_run(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_cell(tmp_path / name / "mine.py", f"from sluice.recurrent import CELLS\nCELLS['{name}'] = CELLS['gru']\n")
        import_module(tmp_path / name / "mine.py")
    assert {"one", "two"} <= set(CELLS)


def test_module_may_have_the_name_of_a_package(tmp_path: Path) -> None:
    import_module(write_cell(tmp_path / "torch.py"))
    assert "mgu" in CELLS
    assert torch.__name__ == "torch"


def test_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model.module=.*nowhere.py does not exist: name the file"):
        import_module(tmp_path / "nowhere.py")


def test_non_python_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine.txt cannot be imported: it must be a Python file, ending in .py"):
        import_module(write_cell(tmp_path / "mine.txt"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def step(:\n", "SyntaxError: invalid syntax"),
        ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
    ],
)
def test_module_error_is_reported_and_fixed_module_is_loaded(tmp_path: Path, source: str, words: str) -> None:
    path = write_cell(tmp_path / "mine.py", source)
    with pytest.raises(UserError, match=words):
        import_module(path)
    import_module(write_cell(path))
    assert "mgu" in CELLS


def test_multiline_error_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        import_module(write_cell(tmp_path / "mine.py", "raise ValueError('first\\nsecond')\n"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("parent", ["LSTMCell", "GRUCell", "TanhRNNCell"])
def test_overridden_step_is_used_for_any_base_cell(tmp_path: Path, parent: str) -> None:
    import_module(write_cell(tmp_path / "mine.py", DERIVED.format(parent=parent)))
    stack = RecurrentStack(cell="derived", input_size=3, hidden_size=4)
    assert (stack(torch.randn(2, 5, 3), torch.tensor([5, 3])).state.hidden == 7).all()


@pytest.mark.usefixtures("mgu")
def test_cell_without_activations_refuses_an_activation() -> None:
    with pytest.raises(ValueError, match="activation=relu cannot be used: MinimalGatedUnit supports no activation"):
        make_cell("mgu", input_size=3, hidden_size=4, options=CellOptions(activation="relu"))


@pytest.mark.usefixtures("mgu")
def test_user_cell_on_padded_batch_equals_single_sequences() -> None:
    stack = stack_of_mgu(num_layers=2, bidirectional=True, residual=True, initial_state="learned")
    inputs, lengths = torch.randn(3, 5, 3, dtype=torch.float64), torch.tensor([2, 5, 3])
    together = stack(inputs, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = stack(inputs[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together.outputs[row, :length], alone.outputs[0])
        torch.testing.assert_close(together.state.hidden[:, row], alone.state.hidden[:, 0])


@pytest.mark.usefixtures("mgu")
def test_user_cell_accepts_one_hot_input() -> None:
    torch.manual_seed(0)
    stack = RecurrentStack(cell="mgu", input_size=5, hidden_size=4, one_hot=True)
    words = OneHot(torch.tensor([[1, 4, 2]]), 5)
    dense = RecurrentStack(cell="mgu", input_size=5, hidden_size=4)
    weights = stack.state_dict()
    dense.load_state_dict({**weights, "cells.0.weight_ih": weights["cells.0.weight_ih"].t()})
    torch.testing.assert_close(stack(words, torch.tensor([3])), dense(words.materialise(), torch.tensor([3])))


@pytest.mark.usefixtures("mgu")
def test_user_cell_supports_dropout() -> None:
    for chosen in ({"recurrent_dropout": 0.5}, {"weight_dropout": 0.5}):
        stack = stack_of_mgu(options=CellOptions(**chosen))
        inputs, lengths = torch.randn(3, 5, 3, dtype=torch.float64), torch.tensor([2, 5, 3])
        assert not torch.allclose(stack(inputs, lengths).outputs, stack(inputs, lengths).outputs)
        stack.eval()
        assert torch.equal(stack(inputs, lengths).outputs, stack(inputs, lengths).outputs)


@pytest.mark.usefixtures("mgu")
def test_user_cell_gates_are_traced_by_name() -> None:
    stack = stack_of_mgu(bidirectional=True)
    inputs, lengths = torch.randn(2, 5, 3, dtype=torch.float64), torch.tensor([5, 3])
    trace = stack.trace(inputs, lengths)
    for traced in trace.cells:
        assert list(traced.gates) == ["forget", "new"]
        assert ((traced.gates["forget"] > 0).sum(1) == lengths.unsqueeze(-1)).all(), "a sigmoid, zero beyond the length"
    forget, new = trace.cells[0].gates.values()
    first = forget[:, 0] * new[:, 0]  # from a state of zeros
    torch.testing.assert_close(trace.cells[0].states.hidden[:, 0], first)
