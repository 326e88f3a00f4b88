"""The experiments of conf/experiment run their sweeps."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from running import SAMPLE, compose_quickly, error_of, paths_in, results_of, runs_below, sluice, train_by_hydra
from sluice.composition.compose import checked
from sluice.recipes.registry import recipe_named
from sluice.recurrent import RecurrentStack
from sluice.recurrent.sizing import hidden_size_within

SMALL = (
    "trainer.accelerator=cpu",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=1",
    "trainer.limit_val_batches=1",
)
ORDER = ("task.data.size=32", "task.data.val_size=8", "task.data.test_size=8", "model.hidden_size=4")
PAIRS = (*SAMPLE, "model.hidden_size=4", "embedding.size=4", "task.decoder.hidden_size=8")
SWEEPS = {
    "inputs": ((*SAMPLE, "model.hidden_size=4"), "embedding=index,onehot", "embedding.kind"),
    "lengths": ((*ORDER, "model=rnn"), "task.level=easy,normal", "task.level"),
    "fair": ((*SAMPLE, "model.num_params=2000"), "model=rnn,lstm", "model.cell"),
    "britz": ((*PAIRS, "model=gru", "model.num_layers=2"), "task.attention=none,dot", "task.attention"),
}
SLOW = ("inputs", "fair", "britz")


@pytest.mark.parametrize("experiment", ["lengths", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_experiment_runs_its_sweep(workdir: Path, experiment: str) -> None:
    settings, two, against = SWEEPS[experiment]
    ended = train_by_hydra(f"experiment={experiment}", *SMALL, *settings, "seed=1", two, *paths_in(workdir))
    assert ended.code == 0, ended.err
    found = [results_of(run) for run in runs_below(workdir / "output")]
    assert len(found) == 2
    if experiment == "britz":
        beams = {f"test/bleu_lowercase_beam_{beam}" for beam in (1, 10)}
        assert all(beams < set(results) for results in found)
    plot = workdir / "runs.png"
    compared = sluice("compare", workdir / "output", "--plot", plot, "--against", against)
    assert (compared.code, plot.exists()) == (0, True), compared.err


def test_failed_sweep_run_is_reported(workdir: Path) -> None:
    settings, *_ = SWEEPS["lengths"]
    only = ("task.level=easy", "seed=1", "task.data.t1=[5,6],null")
    ended = train_by_hydra("experiment=lengths", *SMALL, *settings, *only, *paths_in(workdir))
    assert "1 sweep run failed (see above)" in error_of(ended)
    assert "run 1 failed: " in ended.err
    assert len(runs_below(workdir / "output")) == 1


def test_awd_lstm_has_the_published_number_of_parameters() -> None:
    """33.6 million (Merity, Keskar & Socher 2018, table 2), with the 33,278 words of WikiText-2."""
    config = checked(compose_quickly(["experiment=awd_lstm_wikitext2"]))
    words, sizes = 33_278, [400, 1150, 1150, 400]
    with torch.device("meta"):
        network = recipe_named("wikitext2").build_network(config, {"vocab": ["a"] * words})
    layers = sum(4 * own * (below + own + 2) for below, own in pairwise(sizes))
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == words * sizes[0] + layers + words
    assert round(found / 1e6, 1) == 33.6


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm_peephole"])
@pytest.mark.parametrize("one_hot", [False, True])
def test_hidden_size_is_the_largest_within_num_params(cell: str, one_hot: bool) -> None:
    def make(units: int) -> RecurrentStack:
        return RecurrentStack(
            cell=cell, input_size=7, hidden_size=units, num_layers=2, bidirectional=True, one_hot=one_hot
        )

    def size(units: int) -> int:
        return sum(parameter.numel() for parameter in make(units).parameters())

    state = torch.get_rng_state()
    units = hidden_size_within(20_000, make)
    assert torch.equal(torch.get_rng_state(), state)
    assert size(units) <= 20_000 < size(units + 1)


def test_too_small_num_params_is_reported(workdir: Path) -> None:
    ended = train_by_hydra("task=adding", "model.num_params=3", *paths_in(workdir))
    assert "model.num_params=3 is too small: one unit has" in error_of(ended)


def test_invalid_beam_is_reported_before_training(workdir: Path) -> None:
    ended = train_by_hydra("task=multi30k", *PAIRS, "task.extra_beams=[5,0]", *paths_in(workdir))
    assert "beam" in error_of(ended)
    assert "0" in error_of(ended)
