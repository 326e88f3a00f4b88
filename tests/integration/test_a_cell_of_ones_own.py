"""A cell in a file of one's own trains, and its checkpoint predicts, by the command line alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from own_cell import forget_own_cells, write_cell
from running import TINY, Finished, complaint, json_lines, sluice, train, trained
from sluice.recurrent import CELLS

pytestmark = pytest.mark.usefixtures("own_cells_forgotten")
OWN = ("model.cell=mgu", "model.name=mine")
TEXTS = ("It was moving, I loved it.", "The film is dull and a bore.")


@pytest.fixture(scope="module")
def run_of_own(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run with a cell in mine.py, with everything that may be asked of one; look, don't touch."""
    home = tmp_path_factory.mktemp("own")
    options = ("model.recurrent_dropout=0.2", "model.weight_dropout=0.2", "model.bidirectional=true")
    return trained(home, *TINY, *OWN, *options, f"model.module={write_cell(home / 'mine.py')}")


def test_it_trains(run_of_own: Finished) -> None:
    assert run_of_own.results["model"] == "mine"
    assert run_of_own.folder.parent.name == "mine"
    assert 0 < run_of_own.results["test/loss"] < 5


def test_its_checkpoint_predicts(run_of_own: Finished) -> None:
    assert "mgu" not in CELLS, "the command must import the file anew"
    lines = json_lines(sluice("predict", run_of_own.folder, *TEXTS, "--json"))
    assert [line["text"] for line in lines] == list(TEXTS)
    assert json_lines(sluice("predict", run_of_own.folder / "last.ckpt", *TEXTS, "--json")) != []


def test_its_checkpoint_is_evaluated(run_of_own: Finished) -> None:
    (evaluated,) = json_lines(sluice("evaluate", run_of_own.folder, "--json"))
    assert evaluated["texts"] == 200


@pytest.mark.slow
def test_its_checkpoint_predicts_in_a_process_of_its_own_in_another_folder(
    run_of_own: Finished, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "sluice.cli.main", "predict", str(run_of_own.folder), "--json", *TEXTS]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == sluice("predict", run_of_own.folder, "--json", *TEXTS).out


def test_a_relative_path_is_kept_as_an_absolute_one(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cell(workplace / "mine.py")
    run = trained(workplace, *TINY, *OWN, "model.module=mine.py")
    monkeypatch.chdir(run.folder)
    assert len(json_lines(sluice("predict", run.folder, *TEXTS, "--json"))) == 2


def test_a_checkpoint_whose_file_has_gone_says_so(workplace: Path) -> None:
    path = write_cell(workplace / "mine.py")
    run = trained(workplace, *TINY, *OWN, f"model.module={path}")
    path.unlink()
    forget_own_cells()
    assert f"model.module={path} isn't there" in complaint(sluice("predict", run.folder, *TEXTS))


@pytest.mark.usefixtures("workplace")
def test_a_missing_file_is_answered_in_one_sentence() -> None:
    assert "nowhere.py isn't there: give the Python file" in complaint(train(*TINY, *OWN, "model.module=nowhere.py"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def step(:\n", "mine.py cannot be imported: SyntaxError: invalid syntax (mine.py, line 1)"),
        ("1 / 0\n", "mine.py cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_an_error_in_the_file_is_answered_in_one_sentence(workplace: Path, source: str, words: str) -> None:
    path = write_cell(workplace / "mine.py", source)
    assert words in complaint(train(*TINY, *OWN, f"model.module={path}"))


def test_a_wrong_name_is_answered_with_the_cells_there_are(workplace: Path) -> None:
    path = write_cell(workplace / "mine.py")
    said = complaint(train(*TINY, f"model.module={path}", "model.cell=mgv"))
    assert "there is no model.cell=mgv: there are gru, " in said
    assert "mgu" in said


def test_an_option_that_the_cell_does_not_have_is_answered_in_one_sentence(workplace: Path) -> None:
    path = write_cell(workplace / "mine.py")
    said = complaint(train(*TINY, *OWN, f"model.module={path}", "model.activation=relu"))
    assert "activation=relu cannot be used: MinimalGatedUnit takes none of its own" in said
