"""The stored command line of a run, and the settings of a resumed run."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from pydoc import locate

import pytest
import yaml

from running import CONF
from sluice.composition.compose import checked, compose_config
from sluice.config.common import TaskSettings
from sluice.config.renamed import RENAMED_TARGETS
from sluice.errors import UserError
from sluice.overrides import override_of
from sluice.training.prepare import make_paths_absolute
from sluice.training.resume import Difference, _differing_settings, read_stored_config
from sluice.training.stored_settings import (
    restored_config,
    resume_arguments,
    run_to_resume,
    stored_overrides,
    write_overrides,
)

pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture
def run(workdir: Path) -> Path:
    """A folder with the command line and the settings of a run."""
    folder = workdir / "outputs" / "imdb" / "gru" / "my run"
    folder.mkdir(parents=True)
    write_overrides(folder, ["model=gru", "optimizer.lr=0.1", "+trainer.min_epochs=1", "name=mine", "hydra.verbose=1"])
    paths = {"data_dir": str(workdir / "data"), "cache_dir": "/nowhere", "output_dir": str(workdir / "outputs")}
    plain = {"task": {"name": "imdb"}, "paths": paths, "init_from": None}
    (folder / "config.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    return folder


def resumed_arguments(run: Path, *arguments: str) -> list[str]:
    return resume_arguments([*arguments, override_of("resume", str(run))], CONF)


def test_name_and_hydra_settings_are_not_stored(run: Path) -> None:
    assert stored_overrides(run) == ["model=gru", "optimizer.lr=0.1", "+trainer.min_epochs=1"]


def test_stored_hydra_settings_are_not_restored(run: Path) -> None:
    (run / "overrides.yaml").write_text("[hydra.run.dir=/etc, hydra/launcher=joblib, seed=2, name=x]", encoding="utf-8")
    assert stored_overrides(run) == ["seed=2"]


@pytest.mark.parametrize("text", ["{a: 1}", "[1]", "['a b']", "[", ""])
def test_damaged_overrides_are_refused(run: Path, text: str) -> None:
    (run / "overrides.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"overrides.yaml cannot be read"):
        stored_overrides(run)


def test_resume_restores_every_setting(run: Path, workdir: Path) -> None:
    (arguments, last) = (resumed_arguments(run)[:-2], resumed_arguments(run)[-2:])
    assert arguments == [
        *("model=gru", "optimizer.lr=0.1", "+trainer.min_epochs=1"),
        *(f"paths.data_dir={workdir}/data", f"paths.output_dir={workdir}/outputs"),
    ]
    assert last == [f'resume="{run}"', "hydra.mode=RUN"]
    config = compose_config(arguments, CONF)
    assert (config.model.cell, config.optimizer.lr, config.trainer.min_epochs) == ("gru", 0.1, 1)


def test_new_settings_override_the_stored_ones(run: Path) -> None:
    arguments = resumed_arguments(
        run, "optimizer.lr=0.5", "task.max_epochs=7", "+trainer.min_epochs=2", "paths.data_dir=here"
    )
    config = compose_config([line for line in arguments if not line.startswith("hydra")], CONF)
    assert (config.optimizer.lr, config.trainer.min_epochs, config.paths.data_dir) == (0.5, 2, "here")
    assert config.trainer.max_epochs == 7, "derived settings follow"


def test_sluice_data_overrides_the_stored_data_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_DATA", "/corpora")
    assert not any(line.startswith("paths.data_dir") for line in resumed_arguments(run))


@pytest.mark.parametrize(("fused", "given", "resumed"), [(False, (), False), (True, (), None), (False, (True,), True)])
def test_the_optimizer_stays_as_an_earlier_version_chose_it(
    run: Path, fused: bool, given: tuple[bool, ...], resumed: bool | None
) -> None:
    write_overrides(run, ["model=gru", "trainer.precision=bf16-mixed"])
    stored = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    (run / "config.yaml").write_text(yaml.safe_dump(stored | {"optimizer": {"fused": fused}}), encoding="utf-8")
    arguments = resumed_arguments(run, *(f"optimizer.fused={value}" for value in given))
    assert compose_config(arguments[:-2], CONF).optimizer["fused"] is resumed


def test_resumed_sweep_stays_a_sweep(run: Path) -> None:
    arguments = resumed_arguments(run, "-m", "hydra/launcher=basic")
    assert arguments[0] == "-m"
    assert "hydra/launcher=basic" in arguments
    assert "hydra.mode=RUN" not in arguments


@pytest.mark.parametrize("arguments", [["seed=1"], ["resume=null"], ["resume=a,b"], ["resume=nowhere", "a b=c="]])
def test_arguments_without_a_run_to_resume_are_unchanged(arguments: list[str]) -> None:
    assert resume_arguments(arguments, CONF) == arguments


def test_only_the_last_checkpoint_can_be_resumed(run: Path) -> None:
    (run / "last.ckpt").touch()
    assert run_to_resume([override_of("resume", str(run / "last.ckpt"))], CONF) == run
    (run / "best.ckpt").touch()
    with pytest.raises(UserError, match=r"only last.ckpt contains the training state"):
        run_to_resume([override_of("resume", str(run / "best.ckpt"))], CONF)


def test_resume_last_searches_by_task_and_model(run: Path) -> None:
    (run / "last.ckpt").touch()
    assert run_to_resume(["resume=last", "model=gru"], CONF) == run
    with pytest.raises(UserError, match="resume=last cannot be used"):
        run_to_resume(["resume=last"], CONF)


class TestOlderRuns:
    """Runs without a stored command line."""

    @pytest.fixture
    def older(self, run: Path) -> Path:
        (run / "overrides.yaml").unlink()
        (run / "last.ckpt").touch()
        composed = compose_config(["task=imdb", "model=rnn", "task.recurrent.hidden_size=12", "optimizer=sgd"], CONF)
        (run / "config.yaml").write_text(yaml.safe_dump(plain_of(composed)), encoding="utf-8")
        return run

    def test_resume_restores_every_setting(self, older: Path) -> None:
        config = restored_config(older, [f"resume={older.name}"], CONF)
        assert config is not None
        assert (config.model.cell, config.model.hidden_size, config.resume) == ("rnn", 12, str(older))
        assert "SGD" in config.optimizer._target_

    def test_independent_setting_can_be_changed(self, older: Path) -> None:
        config = restored_config(older, ["trainer.max_epochs=9", "+trainer.min_epochs=2", "task.max_epochs=3"], CONF)
        assert config is not None
        assert (config.trainer.max_epochs, config.trainer.min_epochs) == (9, 2)

    @pytest.mark.parametrize("change", ["task.max_epochs=9", "task.recurrent.hidden_size=3", "~seed"])
    def test_changing_a_setting_with_dependents_is_refused(self, older: Path, change: str) -> None:
        with pytest.raises(UserError, match=f"{change.split('=')[0]} cannot be (changed|applied)"):
            restored_config(older, [change], CONF)

    def test_unknown_setting_is_refused(self, older: Path) -> None:
        with pytest.raises(UserError, match="nonsense"):
            restored_config(older, ["nonsense=1"], CONF)

    def test_changed_group_is_not_restored(self, older: Path) -> None:
        assert restored_config(older, ["model=gru"], CONF) is None


def plain_of(composed: object) -> object:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.create(composed), resolve=True)


def test_paths_of_the_run_are_restored_as_absolute_paths(run: Path, workdir: Path) -> None:
    (workdir / "own.txt").touch()
    plain = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    plain["embedding"] = {"path": str(workdir / "own.txt")}
    (run / "config.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    assert f"embedding.path={workdir}/own.txt" in resumed_arguments(run)
    assert not any(line.startswith("embedding.path") for line in resumed_arguments(run, "embedding=learned"))


def test_names_of_vectors_are_stored_as_given(workdir: Path) -> None:
    (workdir / "own.txt").touch()
    given = ["embedding.path=glove.6B.50d", "task.decoder.embedding_path=own.txt"]
    composed = compose_config(["task=multi30k", *given], CONF)
    make_paths_absolute(composed)
    assert composed.embedding.path == "glove.6B.50d"
    assert composed.task.decoder.embedding_path == str(workdir / "own.txt")


def test_targets_of_earlier_versions_are_renamed(run: Path) -> None:
    plain = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    plain["optimizer"] = {"_target_": "sluice.tasks.nt_asgd.NTASGD"}
    plain["scheduler"] = {"_target_": "sluice.tasks.schedules.cosine", "_partial_": True}
    (run / "config.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    before = read_stored_config(run)
    assert before["optimizer"] == {"_target_": "sluice.optim.nt_asgd.NTASGD"}
    assert before["scheduler"] == {"_target_": "sluice.optim.schedules.cosine", "_partial_": True}


@pytest.mark.parametrize(
    ("task", "missing", "setting", "expected"),
    [
        ("multi30k", ("task", "r_drop"), "task.r_drop=5", ("task.r_drop", 0.0, 5.0)),
        ("imdb", ("task", "ngrams"), "task.ngrams.max_n=2", ("task.ngrams.max_n", None, 2)),
        ("imdb", ("model", "residual"), "model.residual=true", ("model.residual", False, True)),
    ],
    ids=["setting", "group", "model"],
)
def test_settings_a_run_lacks_had_their_default(
    run: Path, task: str, missing: tuple[str, str], setting: str, expected: Difference
) -> None:
    same, other = (checked(compose_config([f"task={task}", *given], CONF)) for given in ((), (setting,)))
    plain = asdict(same)
    del plain[missing[0]][missing[1]]
    (run / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(plain))), encoding="utf-8")
    assert _differing_settings(run, same) == []
    assert _differing_settings(run, other) == [expected]


def test_tasks_of_the_user_may_have_required_settings(run: Path) -> None:
    @dataclass(kw_only=True)
    class Required(TaskSettings):
        path: str
        size: int = 3

    config = checked(compose_config(["task=imdb"], CONF))
    common = {entry.name: getattr(config.task, entry.name) for entry in fields(TaskSettings)}
    config.task = Required(**common, path="a")
    plain = asdict(config)
    del plain["task"]["size"]
    (run / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(plain))), encoding="utf-8")
    assert _differing_settings(run, config) == []
    config.task.size = 4
    assert _differing_settings(run, config) == [("task.size", 3, 4)]


@pytest.mark.parametrize("target", RENAMED_TARGETS.values())
def test_renamed_targets_exist(target: str) -> None:
    assert callable(locate(target))


def test_modules_of_old_targets_no_longer_exist() -> None:
    assert not any(locate(target.rpartition(".")[0]) for target in RENAMED_TARGETS)
