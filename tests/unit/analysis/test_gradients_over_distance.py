"""Gradient norms of untrained networks match autograd."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sluice.analysis.gradient_probes import temporal_order_batch
from sluice.analysis.gradients import SEQUENCES, UntrainedNetworks, mean_by_distance, untrained_curves
from sluice.data.synthetic.temporal_order import CLASSES, SYMBOLS
from sluice.errors import UserError
from sluice.recurrent import CellOptions, OneHot, RecurrentStack

SMALL = UntrainedNetworks(cells=("rnn", "lstm"), steps=12, hidden=5, seed=3)


def test_order_sequences_have_requested_length_and_labels() -> None:
    sequences = temporal_order_batch(30, seed=1, count=20)
    assert sequences.ids.shape == (20, 30)
    for ids, label in zip(sequences.ids.tolist(), sequences.labels.tolist(), strict=True):
        telling = "".join(SYMBOLS[index] for index in ids if SYMBOLS[index] in "XY")
        assert list(CLASSES)[label] == telling
        assert (SYMBOLS[ids[0]], SYMBOLS[ids[-1]]) == ("B", "E")


@pytest.mark.parametrize("distance", [0, 4, 11])
def test_lstm_curve_matches_a_split_run(distance: int) -> None:
    """∂loss/∂h at a distance, by autograd from a run whose state after that step is a leaf."""
    sequences = temporal_order_batch(SMALL.steps, SMALL.seed, SEQUENCES)
    torch.manual_seed(SMALL.seed)
    options = CellOptions(recurrent_init=SMALL.init, forget_bias=SMALL.forget_bias)
    size = len(SYMBOLS)
    stack = RecurrentStack(cell="lstm", input_size=size, hidden_size=SMALL.hidden, one_hot=True, options=options)
    output = nn.Linear(SMALL.hidden, len(CLASSES))
    cut = SMALL.steps - distance
    count = len(sequences.ids)
    before = stack(OneHot(sequences.ids[:, :cut], size), torch.full((count,), cut)).state
    leaves = type(before)(*(part.detach().requires_grad_() for part in before))
    top = leaves.hidden[-1]
    if distance:
        top = stack(OneHot(sequences.ids[:, cut:], size), torch.full((count,), distance), leaves).state.hidden[-1]
    loss = F.cross_entropy(output(top), sequences.labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, leaves.hidden)
    found = untrained_curves(SMALL)["lstm, hidden state"]
    assert found[distance] == pytest.approx(float(gradient[0].norm(dim=-1).mean()), rel=1e-4)


def test_fresh_curves_cover_all_states_and_are_reproducible() -> None:
    state = torch.random.get_rng_state()
    curves, again = untrained_curves(SMALL), untrained_curves(SMALL)
    assert list(curves) == ["rnn", "lstm, hidden state", "lstm, cell state"]
    assert all(norms.shape == (12,) and (norms > 0).all() for norms in curves.values())
    assert all((curves[name] == again[name]).all() for name in curves)
    other = untrained_curves(UntrainedNetworks(cells=("rnn",), steps=12, hidden=5, seed=4))
    assert not np.allclose(other["rnn"], curves["rnn"])
    assert torch.equal(torch.random.get_rng_state(), state), "the global random state is unchanged"


def test_high_forget_bias_preserves_gradients() -> None:
    shut, open_ = (
        untrained_curves(UntrainedNetworks(cells=("lstm",), steps=40, hidden=8, forget_bias=bias))["lstm, cell state"]
        for bias in (-3.0, 6.0)
    )
    assert shut[-1] / shut[0] < 1e-6
    assert open_[-1] / open_[0] > 1e-2


def test_mean_ignores_sequences_shorter_than_the_distance() -> None:
    norms = torch.tensor([[1.0, 3.0, float("nan")], [3.0, float("nan"), float("nan")]])
    mean = mean_by_distance(norms)
    assert mean[:2].tolist() == [2.0, 3.0]
    assert np.isnan(mean[2])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"cells": ("lstm", "foo")}, "there is no cell 'foo' for --cells: there are gru, gru_reset_before, lstm"),
        ({"steps": 9}, "--steps 9 is too few: choose 10 or more"),
        ({"init": "zeros"}, "--init zeros cannot be used: it must be one of orthogonal, uniform, xavier"),
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, object], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        UntrainedNetworks(**settings).check()  # type: ignore[arg-type]
