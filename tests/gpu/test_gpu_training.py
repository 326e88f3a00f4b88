"""Every task trains on a GPU without synchronisation, and its runs resume and predict on GPU and CPU."""

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from running import json_lines, only_run, paths_in, results_of, sluice, train_composed
from sluice.composition.compose import checked
from sluice.recipes.load import load_model
from sluice.recipes.registry import recipe_of
from small_configs import TASKS, compose_small
from stopping import stop_signal, stopped

SHORT = ("trainer.max_epochs=1", "trainer.limit_train_batches=4", "trainer.log_every_n_steps=1")
REVIEWS = ("trainer.max_epochs=2", "checkpoint.every_steps=1", "scheduler=constant", "callbacks=none")


def on(device: Any) -> tuple[str, ...]:
    return ("trainer=gpu", f"trainer.accelerator={device.accelerator}")


@pytest.mark.parametrize("task", TASKS)
def test_task_trains_for_a_short_epoch(device: Any, home: Path, task: str) -> None:
    ended = train_composed(compose_small(home, f"task={task}", *on(device), *SHORT))
    assert ended.code == 0, ended.err
    results = results_of(only_run(home / "output"))
    name = torch.cuda.get_device_name() if device.torch.type == "cuda" else "cpu"
    assert results["device"] == name
    figures = [value for key, value in results.items() if key.startswith(("val/", "test/"))]
    assert figures
    assert all(math.isfinite(value) for value in figures)


@pytest.mark.parametrize("task", [task for task in TASKS if task != "word2vec"])  # sparse gradients
def test_training_never_synchronises_with_the_gpu(device: Any, home: Path, task: str, real_gpu: None) -> None:
    config = checked(compose_small(home, f"task={task}", *on(device), "debug=fast", "scheduler=constant"))
    recipe = recipe_of(config)
    data = recipe.build_data(config, recipe.find_corpus(config))
    data.prepare_data()
    module: Any = recipe.build_module(config, data).to(device.torch)
    module.log = module.log_dict = module.log_number = lambda *_, **__: None
    module.trainer = type("Stub", (), {"global_step": 0, "world_size": 1})()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)
    batches = [batch for batch, _ in zip(data.train_dataloader(), range(1), strict=False)] * 2
    for number, batch in enumerate(batch.pin_memory().to(device.torch) for batch in batches):
        torch.cuda.set_sync_debug_mode("error" if number else "default")  # libraries initialise on the first batch
        try:
            optimizer.zero_grad()
            module.training_step(batch, number).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("resumed_on", ["same", "cpu"])
def test_stopped_run_resumes(device: Any, home: Path, resumed_on: str) -> None:
    settings = (*on(device), *REVIEWS, "task.data.batch_size=8")
    whole = train_composed(compose_small(home, "task=reviews", *settings, "name=whole"))
    assert whole.code == 0, whole.err
    with stopped(stop_signal, "on_train_batch_end", 3):
        first = train_composed(compose_small(home, "task=reviews", *settings, "name=cut"))
    assert first.code == 130, first.err
    run = home / "output" / "reviews" / "lstm" / "cut"
    there = ("trainer.accelerator=cpu",) if resumed_on == "cpu" else ()
    again = train_composed(compose_small(home, "task=reviews", *settings, *there, f"resume={run}"))
    assert again.code == 0, again.err
    weights = [load_model(folder).network.state_dict() for folder in (run, run.with_name("whole"))]
    if resumed_on == "same":  # another device has other dropout masks
        for name, weight in weights[0].items():
            torch.testing.assert_close(weight, weights[1][name], rtol=2e-2, atol=2e-3)


def test_model_predicts_the_same_on_cpu_and_gpu(device: Any, home: Path) -> None:
    ended = train_composed(compose_small(home, "task=reviews", *on(device), *SHORT, "name=a"))
    assert ended.code == 0, ended.err
    run = home / "output" / "reviews" / "lstm" / "a"
    texts = ("it was great", "awful")
    (first, second) = json_lines(sluice("predict", run, *texts, "--json"))
    model = load_model(run)
    ids = [torch.tensor(model.vocab.encode(text.split())) for text in texts]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=1)
    lengths = torch.tensor([len(text) for text in ids])
    with torch.no_grad():
        here = model.network(padded, lengths).logits.softmax(-1)
        there = model.network.to(device.torch)(padded.to(device.torch), lengths).logits.softmax(-1).cpu()
    torch.testing.assert_close(here, there, rtol=2e-3, atol=2e-3)
    assert {first["label"], second["label"]} <= set(model.labels)


def test_multi_gpu_metrics_match_one_gpu(device: Any, home: Path) -> None:
    count = torch.cuda.device_count()
    if count < 2:
        pytest.skip(f"needs 2 GPUs or more, there are {count}")
    from processes import TRAIN, command

    still = ("optimizer.lr=1e-30", "scheduler=constant", "trainer.max_epochs=1", "task.data.batch_size=4")
    found = []
    for devices in (1, count):
        name = f"name=on-{devices}"
        own = ("trainer=ddp", f"trainer.devices={devices}", *still, name, *paths_in(home))
        ended = command(*TRAIN, "task=reviews", f"task.data.path={home / 'mine.csv'}", *own, cwd=home)
        assert ended.code == 0, ended.err
        results = results_of(home / "output" / "reviews" / "lstm" / f"on-{devices}")
        found.append({key: value for key, value in results.items() if key.startswith(("val/", "test/"))})
    assert found[1] == pytest.approx(found[0], abs=1e-3)


def test_training_emits_no_contiguity_warning(device: Any, home: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pl.seed_everything(1, verbose=False)
        ended = train_composed(compose_small(home, "task=imdb", *on(device), *SHORT))
    assert ended.code == 0, ended.err
    assert not [str(warning.message) for warning in caught if "contiguous chunk" in str(warning.message)]
