"""Names and folders of runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch.distributed import TCPStore

from sluice.errors import UserError
from sluice.runs import folder as runs
from sluice.runs.checkpoint import find_checkpoint
from sluice.runs.folder import create_run_folder, job_id, rank_zero_value, run_folder, run_name
from sluice.runs.results import provenance, write_results

pytestmark = pytest.mark.usefixtures("workdir")


def test_chosen_name_is_used() -> None:
    assert run_name("mine", sample=False) == "mine"


def test_sample_run_gets_the_sample_prefix_once() -> None:
    assert run_name("mine", sample=True) == "sample-mine"
    assert run_name("sample-mine", sample=True) == "sample-mine"


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a b", "a=b", "", ".", ".."])
def test_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be used"):
        run_name(name, sample=False)


def test_two_runs_in_the_same_second_have_different_names() -> None:
    names = [run_name(None, sample=False) for _ in range(8)]
    assert len({name[:10] for name in names}) <= 2, "the date"
    assert len(set(names)) > 6


def test_slurm_job_id_is_the_run_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    assert run_name(None, sample=False) == "4711"
    assert run_name(None, sample=False) == "4711", "a requeued job finds its run"
    assert run_name("mine", sample=False) == "mine"
    assert run_name(None, sample=False, sweep_number=3) == "4711-3"


def test_slurm_array_job_is_named_by_array_and_task_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4713")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert run_name(None, sample=False) == "4711_2"


def test_torchrun_rdzv_id_is_the_run_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert job_id() is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert job_id() is None, "the value that torchrun sets without --rdzv-id"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    assert run_name(None, sample=False) == "mine"


def test_sweep_runs_get_numbered_names() -> None:
    names = [run_name("mine", sample=False, sweep_number=number) for number in (1, 2)]
    assert names == ["mine-1", "mine-2"]


def test_process_without_torchrun_keeps_its_own_name() -> None:
    assert rank_zero_value("run", "mine") == "mine"


@pytest.fixture
def agent(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TCPStore]:
    """The TCP store of torchrun's agent."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    environment = {"TORCHELASTIC_USE_AGENT_STORE": "True", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield store
    del store


@pytest.mark.usefixtures("agent")
def test_torchrun_ranks_use_the_name_of_rank_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    first = run_name(None, sample=True)
    monkeypatch.setenv("RANK", "1")
    assert run_name(None, sample=True) == first
    assert run_name(None, sample=False) == first.removeprefix("sample-")


@pytest.mark.usefixtures("agent")
def test_restarted_torchrun_ranks_agree_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    rank_zero_value("run", "before")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    rank_zero_value("run", "after")
    monkeypatch.setenv("RANK", "1")
    assert rank_zero_value("run", "mine") == "after"


@pytest.mark.usefixtures("agent")
def test_ranks_agree_on_the_name_of_every_sweep_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    first = [run_name(None, sample=False, sweep_number=number) for number in (0, 1)]
    monkeypatch.setenv("RANK", "1")
    assert [run_name(None, sample=False, sweep_number=number) for number in (0, 1)] == first
    assert first[0] != first[1]


@pytest.mark.usefixtures("agent")
def test_missing_name_of_rank_zero_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "AGREEMENT_SECONDS", 0.1)
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(UserError, match=r"did not send the run's name within 0.1 s: set one with name="):
        rank_zero_value("run", "mine")


def test_run_folder_is_below_task_and_model(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "outputs", "imdb", "gru", "mine")
    assert folder == tmp_path / "outputs" / "imdb" / "gru" / "mine"
    assert not folder.exists(), "create_run_folder creates it"


def test_run_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_folder(Path("outputs"), "imdb", "gru", "mine") == tmp_path / "outputs" / "imdb" / "gru" / "mine"


@pytest.mark.parametrize(("task", "model", "key"), [("a/b", "gru", "task.name"), ("imdb", "..", "model.name")])
def test_invalid_task_or_model_name_is_refused(task: str, model: str, key: str) -> None:
    with pytest.raises(UserError, match=f"{key}=.* cannot be used"):
        run_folder(Path("outputs"), task, model, "mine")


def test_existing_folder_is_used(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path / "mine")
    assert create_run_folder(folder) == folder


def test_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "afile").touch()
    with pytest.raises(UserError, match=r"cannot be created .*: set paths.output_dir"):
        create_run_folder(tmp_path / "afile" / "mine")


def test_results_are_written_atomically(tmp_path: Path) -> None:
    write_results(tmp_path, {"test/loss": 0.25})
    with pytest.raises(TypeError):
        write_results(tmp_path, {"test/loss": object()})
    assert json.loads((tmp_path / "results.json").read_text()) == {"test/loss": 0.25}
    assert [file.name for file in tmp_path.glob("*.json")] == ["results.json"]


def test_non_finite_results_are_written_as_null(tmp_path: Path) -> None:
    write_results(tmp_path, {"a": float("nan"), "b": [float("inf"), 1.0], "c": {"d": -float("inf")}})
    assert json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail) == {
        "a": None,
        "b": [None, 1.0],
        "c": {"d": None},
    }


def test_best_checkpoint_is_preferred_to_the_last(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").touch()
    assert find_checkpoint(tmp_path) == tmp_path / "last.ckpt"
    (tmp_path / "best.ckpt").touch()
    assert find_checkpoint(tmp_path) == tmp_path / "best.ckpt"
    assert find_checkpoint(tmp_path / "last.ckpt") == tmp_path / "last.ckpt"


def test_provenance_contains_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/train.py", "model=gru", "seed=2"])
    assert provenance()["command"] == "train.py model=gru seed=2"
