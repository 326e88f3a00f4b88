"""Names and folders of runs."""

import json
from pathlib import Path

import pytest

from sluice.cli.runs import create_run_folder, find_checkpoint, provenance, run_name, write_results
from sluice.errors import UserError

pytestmark = pytest.mark.usefixtures("workplace")


def test_a_chosen_name_is_taken() -> None:
    assert run_name("mine", sample=False) == "mine"


def test_a_run_on_the_sample_says_so_in_its_name_once() -> None:
    assert run_name("mine", sample=True) == "sample-mine"
    assert run_name("sample-mine", sample=True) == "sample-mine"


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a b", "a=b", "", ".", ".."])
def test_a_name_that_no_folder_should_have_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be used"):
        run_name(name, sample=False)


def test_two_runs_in_the_same_second_have_different_names() -> None:
    names = [run_name(None, sample=False) for _ in range(8)]
    assert len({name[:10] for name in names}) <= 2, "the date"
    assert len(set(names)) > 6


def test_a_job_of_slurm_is_named_after_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    assert run_name(None, sample=False) == "4711"
    assert run_name(None, sample=False) == "4711", "requeued, it finds itself"
    assert run_name("mine", sample=False) == "mine"
    assert run_name(None, sample=False, sweep_number=3) == "4711-3"


def test_a_job_of_an_array_is_named_after_array_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4713")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert run_name(None, sample=False) == "4711_2"


def test_the_points_of_a_sweep_do_not_share_a_chosen_name() -> None:
    names = [run_name("mine", sample=False, sweep_number=number) for number in range(3)]
    assert names == ["mine-0", "mine-1", "mine-2"]


@pytest.mark.parametrize("chosen", [None, "mine"])
def test_the_processes_of_a_run_agree_on_its_name(monkeypatch: pytest.MonkeyPatch, chosen: str | None) -> None:
    first = run_name(chosen, sample=True, sweep_number=1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert run_name(first, sample=True, sweep_number=1) == first
    if chosen is None:
        assert run_name(None, sample=True, sweep_number=1) == first


def test_the_folder_is_made_below_task_and_model(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path / "outputs", "imdb", "gru", "mine")
    assert folder == tmp_path / "outputs" / "imdb" / "gru" / "mine"
    assert folder.is_dir()


@pytest.mark.parametrize("file", ["results.json", "best.ckpt", "last.ckpt"])
def test_a_folder_with_a_run_in_it_is_refused(tmp_path: Path, file: str) -> None:
    folder = create_run_folder(tmp_path, "imdb", "gru", "mine")
    create_run_folder(tmp_path, "imdb", "gru", "mine")
    (folder / file).touch()
    with pytest.raises(UserError, match=r"there is a run in .*mine already: choose another name="):
        create_run_folder(tmp_path, "imdb", "gru", "mine")


def test_other_processes_of_the_run_may_come_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = create_run_folder(tmp_path, "imdb", "gru", "mine")
    (folder / "last.ckpt").touch()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert create_run_folder(tmp_path, "imdb", "gru", "mine") == folder


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "afile").touch()
    with pytest.raises(UserError, match=r"cannot be made .*: set paths.output_dir"):
        create_run_folder(tmp_path / "afile", "imdb", "gru", "mine")


def test_results_are_written_whole(tmp_path: Path) -> None:
    write_results(tmp_path, {"test/loss": 0.25})
    with pytest.raises(TypeError):
        write_results(tmp_path, {"test/loss": object()})
    assert json.loads((tmp_path / "results.json").read_text()) == {"test/loss": 0.25}
    assert [file.name for file in tmp_path.glob("*.json")] == ["results.json"]


def test_the_best_checkpoint_comes_before_the_last(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").touch()
    assert find_checkpoint(tmp_path) == tmp_path / "last.ckpt"
    (tmp_path / "best.ckpt").touch()
    assert find_checkpoint(tmp_path) == tmp_path / "best.ckpt"
    assert find_checkpoint(tmp_path / "last.ckpt") == tmp_path / "last.ckpt"


def test_provenance_gives_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/train.py", "model=gru", "seed=2"])
    assert provenance()["command"] == "train.py model=gru seed=2"
