"""A custom cell in a user's file is trained and used from the command line."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from custom_cell import MINIMAL_GATED_UNIT, unregister_custom_code, write_cell
from running import TINY, Finished, error_of, json_lines, paths_in, sluice, train, trained
from sluice.recurrent import CELLS
from stopping import stop_signal, stopped

pytestmark = pytest.mark.usefixtures("custom_code_unregistered")
OWN = ("model.cell=mgu", "model.name=mine")
TEXTS = ("It was moving, I loved it.", "The film is dull and a bore.")


@pytest.fixture(scope="module")
def custom_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished bidirectional run with dropout and a custom cell in mine.py; read-only."""
    home = tmp_path_factory.mktemp("own")
    options = ("model.recurrent_dropout=0.2", "model.weight_dropout=0.2", "model.bidirectional=true")
    return trained(home, *TINY, *OWN, *options, f"model.module={write_cell(home / 'mine.py')}")


def test_custom_cell_trains(custom_run: Finished) -> None:
    assert custom_run.results["model"] == "mine"
    assert custom_run.folder.parent.name == "mine"
    assert 0 < custom_run.results["test/loss"] < 5


def module_of(run: Finished) -> str:
    return f"model.module={run.home / 'mine.py'}"


def test_printed_command_names_the_module_file(custom_run: Finished) -> None:
    line = next(line for line in custom_run.ended.out.splitlines() if line.startswith("Use it: sluice predict"))
    assert line.endswith(f'{module_of(custom_run)} "your text"')


def test_text_after_double_dash_is_not_a_setting(custom_run: Finished) -> None:
    ended = sluice("predict", custom_run.folder, module_of(custom_run), "--json", "--", "model.module=x is a film")
    assert [line["text"] for line in json_lines(ended)] == ["model.module=x is a film"]


def test_checkpoint_predicts(custom_run: Finished) -> None:
    assert "mgu" not in CELLS, "the command must import the file again"
    lines = json_lines(sluice("predict", custom_run.folder, *TEXTS, "--json", module_of(custom_run)))
    assert [line["text"] for line in lines] == list(TEXTS)
    last = custom_run.folder / "last.ckpt"
    assert json_lines(sluice("predict", last, *TEXTS, "--json", module_of(custom_run))) != []


def test_checkpoint_is_evaluated(custom_run: Finished) -> None:
    (evaluated,) = json_lines(sluice("evaluate", custom_run.folder, "--json", module_of(custom_run)))
    assert evaluated["texts"] == 200


USES = [("predict", *TEXTS), ("evaluate",), ("inspect", TEXTS[0])]


@pytest.mark.parametrize("use", USES, ids=lambda use: use[0])
def test_checkpoint_alone_runs_no_code(custom_run: Finished, use: tuple[str, ...]) -> None:
    command, *rest = use
    error = error_of(sluice(command, custom_run.folder, *rest))
    assert f"add {module_of(custom_run)} to the command line to allow that file to run" in error
    assert "mgu" not in CELLS


def test_registered_cell_needs_no_module_file(custom_run: Finished) -> None:
    exec(compile(MINIMAL_GATED_UNIT, "notebook", "exec"), {"__name__": "notebook"})
    assert len(json_lines(sluice("predict", custom_run.folder, *TEXTS, "--json"))) == 2


def test_changed_module_file_is_refused(custom_run: Finished, tmp_path: Path) -> None:
    other = write_cell(tmp_path / "mine.py", MINIMAL_GATED_UNIT + "\n# changed\n")
    error = error_of(sluice("predict", custom_run.folder, *TEXTS, f"model.module={other}"))
    assert "is not the file that" in error
    assert "mgu" not in CELLS
    allowed = sluice("predict", custom_run.folder, *TEXTS, "--json", f"model.module={other}", "--allow-changed-code")
    assert len(json_lines(allowed)) == 2


def test_moved_module_file_is_accepted(custom_run: Finished, tmp_path: Path) -> None:
    moved = write_cell(tmp_path / "moved.py")
    assert len(json_lines(sluice("predict", custom_run.folder, *TEXTS, "--json", f"model.module={moved}"))) == 2


def test_module_source_is_saved_in_run_folder(custom_run: Finished) -> None:
    kept = (custom_run.folder / "model_module.py").read_text(encoding="utf-8")
    assert kept == MINIMAL_GATED_UNIT


@pytest.mark.slow
def test_checkpoint_predicts_in_a_new_process(custom_run: Finished, tmp_path: Path) -> None:
    start = [sys.executable, "-m", "sluice.cli.main", "predict", str(custom_run.folder), "--json", *TEXTS]
    ended = subprocess.run([*start, module_of(custom_run)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == sluice("predict", custom_run.folder, "--json", *TEXTS, module_of(custom_run)).out


def test_relative_module_path_is_stored_as_absolute(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cell(workdir / "mine.py")
    run = trained(workdir, *TINY, *OWN, "model.module=mine.py")
    unregister_custom_code()
    monkeypatch.chdir(run.folder)
    error = error_of(sluice("predict", run.folder, *TEXTS))
    assert f"model.module={workdir / 'mine.py'}" in error


def test_predict_reports_missing_module_file(workdir: Path) -> None:
    path = write_cell(workdir / "mine.py")
    run = trained(workdir, *TINY, *OWN, f"model.module={path}")
    path.unlink()
    unregister_custom_code()
    assert f"model.module={path} does not exist" in error_of(
        sluice("predict", run.folder, *TEXTS, f"model.module={path}")
    )


LONG = ("trainer.max_epochs=2", "checkpoint.every_steps=1")


def test_resume_requires_the_module_setting(workdir: Path) -> None:
    module = f"model.module={write_cell(workdir / 'mine.py')}"
    settings = (*TINY, *OWN, *LONG, *paths_in(workdir), "name=a")
    with stopped(stop_signal, "on_train_batch_end", 2):
        assert train(*settings, module).code == 130
    run = workdir / "output" / "imdb" / "mine" / "sample-a"
    unregister_custom_code()
    assert f"add {module}" in error_of(train(f"resume={run}", *paths_in(workdir)))
    assert "mgu" not in CELLS
    (workdir / "mine.py").write_text(MINIMAL_GATED_UNIT + "\n# changed\n", encoding="utf-8")
    assert "is not the file that" in error_of(train(f"resume={run}", module, *paths_in(workdir)))
    unregister_custom_code()
    write_cell(workdir / "mine.py")
    ended = train(f"resume={run}", module, *paths_in(workdir))
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
        ("logger.mlflow.tracking_uri=evil", "would set where files are written"),
        ("+callbacks.x='${oc.create:{_target_:os.system}}'", "it contains an interpolation"),
        ('+callbacks.x="${oc.decode:evil}"', "it contains an interpolation"),
        ("optimizer=/../../evil", "is outside the configuration folder"),
        ("optimizer=../evil", "is outside the configuration folder"),
        ("trainer._target_=sluice.exit_codes.os.system", "there is no sluice.exit_codes.os.system"),
    ],
)
def test_resume_refuses_code_named_in_run_folder(custom_run: Finished, workdir: Path, line: str, words: str) -> None:
    hostile = workdir / "hostile"
    shutil.copytree(custom_run.folder, hostile)
    (hostile / "results.json").unlink()
    (hostile / "overrides.yaml").write_text(yaml.safe_dump([*TINY, line]), encoding="utf-8")
    error = error_of(train(f"resume={hostile}", *paths_in(workdir)))
    assert words in error
    assert not (workdir / "leak").exists()


@pytest.mark.usefixtures("workdir")
def test_training_reports_missing_module_file() -> None:
    assert "nowhere.py does not exist: name the file" in error_of(train(*TINY, *OWN, "model.module=nowhere.py"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def step(:\n", "mine.py cannot be imported: SyntaxError: invalid syntax (mine.py, line 1)"),
        ("1 / 0\n", "mine.py cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_import_error_in_module_file_is_reported(workdir: Path, source: str, words: str) -> None:
    path = write_cell(workdir / "mine.py", source)
    assert words in error_of(train(*TINY, *OWN, f"model.module={path}"))


def test_unknown_cell_name_lists_available_cells(workdir: Path) -> None:
    path = write_cell(workdir / "mine.py")
    error = error_of(train(*TINY, f"model.module={path}", "model.cell=mgv"))
    assert "there is no model.cell=mgv: there are gru, " in error
    assert "mgu" in error


def test_unsupported_cell_option_is_reported(workdir: Path) -> None:
    path = write_cell(workdir / "mine.py")
    error = error_of(train(*TINY, *OWN, f"model.module={path}", "model.activation=relu"))
    assert "activation=relu cannot be used: MinimalGatedUnit supports no activation option" in error
