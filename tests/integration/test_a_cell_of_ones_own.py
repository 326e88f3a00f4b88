"""A cell in a file of one's own trains, and its checkpoint predicts, by the command line alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from own_cell import MINIMAL_GATED_UNIT, forget_own_cells, write_cell
from running import TINY, Finished, complaint, json_lines, places, sluice, train, trained
from sluice.recurrent import CELLS
from stopping import stop_signal, stopped

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


def module_of(run: Finished) -> str:
    return f"model.module={run.home / 'mine.py'}"


def test_the_printed_command_works(run_of_own: Finished) -> None:
    line = next(line for line in run_of_own.ended.out.splitlines() if line.startswith("Use it: sluice predict"))
    assert line.endswith(module_of(run_of_own))


def test_a_text_that_looks_like_a_setting_is_a_text(run_of_own: Finished) -> None:
    ended = sluice("predict", run_of_own.folder, module_of(run_of_own), "--json", "--", "model.module=x is a film")
    assert [line["text"] for line in json_lines(ended)] == ["model.module=x is a film"]


def test_its_checkpoint_predicts(run_of_own: Finished) -> None:
    assert "mgu" not in CELLS, "the command must import the file anew"
    lines = json_lines(sluice("predict", run_of_own.folder, *TEXTS, "--json", module_of(run_of_own)))
    assert [line["text"] for line in lines] == list(TEXTS)
    last = run_of_own.folder / "last.ckpt"
    assert json_lines(sluice("predict", last, *TEXTS, "--json", module_of(run_of_own))) != []


def test_its_checkpoint_is_evaluated(run_of_own: Finished) -> None:
    (evaluated,) = json_lines(sluice("evaluate", run_of_own.folder, "--json", module_of(run_of_own)))
    assert evaluated["texts"] == 200


USES = [("predict", *TEXTS), ("evaluate",), ("inspect", TEXTS[0])]


@pytest.mark.parametrize("use", USES, ids=lambda use: use[0])
def test_a_checkpoint_alone_runs_no_code(run_of_own: Finished, use: tuple[str, ...]) -> None:
    command, *rest = use
    said = complaint(sluice(command, run_of_own.folder, *rest))
    assert f"add {module_of(run_of_own)} to the command line to allow that file to run" in said
    assert "mgu" not in CELLS


def test_a_registered_cell_needs_no_file(run_of_own: Finished) -> None:
    exec(compile(MINIMAL_GATED_UNIT, "notebook", "exec"), {"__name__": "notebook"})
    assert len(json_lines(sluice("predict", run_of_own.folder, *TEXTS, "--json"))) == 2


def test_a_changed_file_is_refused(run_of_own: Finished, tmp_path: Path) -> None:
    other = write_cell(tmp_path / "mine.py", MINIMAL_GATED_UNIT + "\n# changed\n")
    said = complaint(sluice("predict", run_of_own.folder, *TEXTS, f"model.module={other}"))
    assert "is not the file that" in said
    assert "mgu" not in CELLS
    allowed = sluice("predict", run_of_own.folder, *TEXTS, "--json", f"model.module={other}", "--allow-changed-code")
    assert len(json_lines(allowed)) == 2


def test_a_moved_file_is_named_where_it_is(run_of_own: Finished, tmp_path: Path) -> None:
    moved = write_cell(tmp_path / "moved.py")
    assert len(json_lines(sluice("predict", run_of_own.folder, *TEXTS, "--json", f"model.module={moved}"))) == 2


def test_the_source_is_kept_in_the_runs_folder(run_of_own: Finished) -> None:
    kept = (run_of_own.folder / "model_module.py").read_text(encoding="utf-8")
    assert kept == MINIMAL_GATED_UNIT


@pytest.mark.slow
def test_its_checkpoint_predicts_in_another_process(run_of_own: Finished, tmp_path: Path) -> None:
    start = [sys.executable, "-m", "sluice.cli.main", "predict", str(run_of_own.folder), "--json", *TEXTS]
    ended = subprocess.run([*start, module_of(run_of_own)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == sluice("predict", run_of_own.folder, "--json", *TEXTS, module_of(run_of_own)).out


def test_a_relative_path_is_kept_as_an_absolute_one(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cell(workplace / "mine.py")
    run = trained(workplace, *TINY, *OWN, "model.module=mine.py")
    forget_own_cells()
    monkeypatch.chdir(run.folder)
    said = complaint(sluice("predict", run.folder, *TEXTS))
    assert f"model.module={workplace / 'mine.py'}" in said


def test_a_file_that_has_gone_is_reported(workplace: Path) -> None:
    path = write_cell(workplace / "mine.py")
    run = trained(workplace, *TINY, *OWN, f"model.module={path}")
    path.unlink()
    forget_own_cells()
    assert f"model.module={path} does not exist" in complaint(
        sluice("predict", run.folder, *TEXTS, f"model.module={path}")
    )


LONG = ("trainer.max_epochs=2", "checkpoint.every_steps=1")


def test_resuming_needs_the_file_named_again(workplace: Path) -> None:
    module = f"model.module={write_cell(workplace / 'mine.py')}"
    settings = (*TINY, *OWN, *LONG, *places(workplace), "name=a")
    with stopped(stop_signal, "on_train_batch_end", 2):
        assert train(*settings, module).code == 130
    run = workplace / "output" / "imdb" / "mine" / "sample-a"
    forget_own_cells()
    assert f"add {module}" in complaint(train(f"resume={run}", *places(workplace)))
    assert "mgu" not in CELLS
    (workplace / "mine.py").write_text(MINIMAL_GATED_UNIT + "\n# changed\n", encoding="utf-8")
    assert "is not the file that" in complaint(train(f"resume={run}", module, *places(workplace)))
    forget_own_cells()
    write_cell(workplace / "mine.py")
    ended = train(f"resume={run}", module, *places(workplace))
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("+callbacks.x={_target_:os.system,command:touch leak}", "os.system is code from outside Sluice"),
        ("+callbacks.x={_target_:pytorch_lightning.Trainer}", "is not a subclass of Callback"),
        ("optimizer._target_=subprocess.check_output", "subprocess.check_output is code from outside Sluice"),
        ("optimizer._target_=torch.optim.lr_scheduler.StepLR", "is not a subclass of Optimizer"),
        ("+optimizer.foo={bar:[{_target_:os.system}]}", "os.system is code from outside Sluice"),
        ("model.module=/tmp/evil.py", "code from outside Sluice"),
        ("task.module=/tmp/evil.py", "code from outside Sluice"),
        ("task={module: /tmp/evil.py}", "code from outside Sluice"),
        ("++model={module: /tmp/evil.py}", "code from outside Sluice"),
        ("logger.csv.run_dir=/tmp/evil", "would set where files are written"),
        (
            "++callbacks.x={_target_: pytorch_lightning.callbacks.ModelCheckpoint, dirpath: /tmp/evil}",
            "would set where files are written",
        ),
        ("+trainer.default_root_dir=evil", "would set where files are written"),
        ("+callbacks.x='${oc.create:{_target_:os.system}}'", "it contains an interpolation"),
        ('+callbacks.x="${oc.decode:evil}"', "it contains an interpolation"),
        ("optimizer=/../../evil", "is outside the configuration folder"),
        ("optimizer=../evil", "is outside the configuration folder"),
        ("trainer._target_=sluice.exit_codes.os.system", "there is no sluice.exit_codes.os.system"),
    ],
)
def test_a_run_folder_names_no_code(run_of_own: Finished, workplace: Path, line: str, words: str) -> None:
    hostile = workplace / "hostile"
    shutil.copytree(run_of_own.folder, hostile)
    (hostile / "results.json").unlink()
    (hostile / "overrides.yaml").write_text(yaml.safe_dump([*TINY, line]), encoding="utf-8")
    said = complaint(train(f"resume={hostile}", *places(workplace)))
    assert words in said
    assert not (workplace / "leak").exists()


@pytest.mark.usefixtures("workplace")
def test_a_missing_file_is_answered_in_one_sentence() -> None:
    assert "nowhere.py does not exist: name the file" in complaint(train(*TINY, *OWN, "model.module=nowhere.py"))


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
    assert "activation=relu cannot be used: MinimalGatedUnit supports no activation option" in said
