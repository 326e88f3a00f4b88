"""Every task and experiment trains with trainer=gpu and trainer=ddp, here on the CPU."""

import sys
from pathlib import Path

import pytest

from processes import TRAIN, command
from running import error_of, only_run, paths_in, results_of, train_composed
from small_configs import EXPERIMENTS, TASKS, compose_small, networks_of, small, write_own_files

GPU_ON_CPU = ("trainer=gpu", "trainer.accelerator=cpu", "debug=fast", "trainer.limit_train_batches=1")
DDP_ON_CPU = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "debug=fast")
QUICK = ("temporal_order", "wikitext2", "word2vec")
"""Tasks not marked slow; with and without bfloat16, clipping and a fused optimizer."""
NETWORKS = [(experiment, network) for experiment in EXPERIMENTS for network in networks_of(experiment)]


@pytest.fixture
def home(workdir: Path) -> Path:
    write_own_files(workdir)
    return workdir


def trains(home: Path, choice: str, *overrides: str) -> None:
    ended = train_composed(compose_small(home, choice, *overrides))
    assert ended.code == 0, ended.err
    assert "test/" in "".join(results_of(only_run(home / "output")))


@pytest.mark.parametrize("task", [pytest.param(t, marks=() if t in QUICK else pytest.mark.slow) for t in TASKS])
def test_every_task_trains_with_the_gpu_preset(home: Path, task: str) -> None:
    trains(home, f"task={task}", *GPU_ON_CPU)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "network"), NETWORKS, ids=lambda part: part if isinstance(part, str) else ",".join(part)
)
def test_every_experiment_trains_with_the_gpu_preset(home: Path, experiment: str, network: tuple[str, ...]) -> None:
    trains(home, f"experiment={experiment}", *GPU_ON_CPU, *network)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize(
    ("precision", "clip", "fused"),
    [
        ("bf16-mixed", "1.0", "null"),
        ("bf16-mixed", "1.0", "true"),
        ("bf16-mixed", "1.0", "false"),
        ("bf16-mixed", "null", "null"),
        ("bf16-mixed", "null", "true"),
        ("32-true", "1.0", "null"),
        ("32-true", "1.0", "true"),
    ],
)
def test_fused_optimizer_settings_train(home: Path, optimizer: str, precision: str, clip: str, fused: str) -> None:
    add = "+" if optimizer == "sgd" else ""
    settings = (f"optimizer={optimizer}", f"trainer.precision={precision}", f"trainer.gradient_clip_val={clip}")
    trains(home, "task=temporal_order", *GPU_ON_CPU, *settings, f"{add}optimizer.fused={fused}")


def test_fused_is_refused_before_any_data_is_read(home: Path) -> None:
    settings = ("task.data.path=nowhere.csv", "optimizer.fused=true", *GPU_ON_CPU, "trainer.precision=16-mixed")
    ended = train_composed(compose_small(home, "task=reviews", *settings))
    assert "optimizer.fused=true cannot be combined with trainer.gradient_clip_val=1" in error_of(ended)


@pytest.mark.slow
@pytest.mark.parametrize("task", [task for task in TASKS if task != "word2vec"])
def test_every_task_trains_with_the_ddp_preset(home: Path, task: str) -> None:
    settings = (*small(home, task), *DDP_ON_CPU, *paths_in(home))
    ended = command(*TRAIN, f"task={task}", *settings, cwd=home)
    assert ended.code == 0, ended.err
    assert results_of(only_run(home / "output"))["device"] == "2 x cpu"


def test_word2vec_refuses_several_processes(home: Path) -> None:
    ended = train_composed(compose_small(home, "task=word2vec", *DDP_ON_CPU))
    assert "task=word2vec trains in one process: set trainer.devices=1" in error_of(ended)


@pytest.mark.slow
def test_local_sweep_on_gpus_refuses_the_cpu(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setenv("SLUICE_GPUS", "0,1")  # as if the sweep's process had found two GPUs
    settings = (*small(home, "temporal_order"), "task=temporal_order", "debug=fast", *paths_in(home), "seed=1,2")
    sweep = ("-m", "hydra/launcher=submitit_local", f"hydra.sweep.dir={home / 'sweep'}")
    ended = command(*TRAIN, *sweep, *settings, cwd=home)
    assert ended.code == 2
    assert "torch finds 0 GPUs" in ended.err
    on_cpu = command(*TRAIN, *sweep, *settings, "trainer=cpu", cwd=home)
    assert on_cpu.code == 0, on_cpu.err + str(sys.executable)
