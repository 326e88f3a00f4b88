"""Sums of sine waves: targets, noise, seeds, and baselines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.data.synthetic.waves import Waves, last_step_error, last_value, linear_model
from sluice.errors import UserError

SIZES = {"size": 200, "val_size": 30, "test_size": 50}


@given(st.integers(1, 20), st.integers(1, 12), st.integers(0, 99))
def test_targets_are_the_next_values(steps: int, horizon: int, seed: int) -> None:
    inputs, targets = Waves(steps=steps, horizon=horizon, **SIZES, seed=seed).sequences("val")
    assert inputs.shape == (30, steps, 1)
    assert targets.shape == (30, steps, horizon)
    assert inputs.dtype == targets.dtype == np.float32
    values = np.concatenate([inputs[..., 0], targets[:, -1]], axis=1)
    for time in range(steps):
        np.testing.assert_array_equal(targets[:, time], values[:, time + 1 : time + 1 + horizon])


def test_wave_without_noise_is_a_sine() -> None:
    """The second difference of a sine is a fixed multiple of its middle value."""
    values = Waves(steps=100, waves=1, noise=0, **SIZES).sequences("test").inputs[..., 0].astype(np.float64)
    second = values[:, 2:] - 2 * values[:, 1:-1] + values[:, :-2]
    factor = (second * values[:, 1:-1]).sum(1) / np.square(values[:, 1:-1]).sum(1)
    np.testing.assert_allclose(second, factor[:, None] * values[:, 1:-1], atol=1e-5)
    frequency = np.arccos(1 + factor / 2) * 109
    assert ((frequency > 10) & (frequency < 20)).all()


def test_noise_has_the_given_width() -> None:
    quiet, loud = (Waves(waves=1, noise=noise, **SIZES).sequences("train").inputs for noise in (0, 0.4))
    noise = loud - quiet
    assert -0.2 <= noise.min() < -0.19
    assert 0.19 < noise.max() <= 0.2
    assert abs(noise.mean()) < 0.01


def test_seeds_are_reproducible_and_splits_differ() -> None:
    first, same, other = (Waves(**SIZES, seed=seed).sequences("train").inputs for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert (first != other).all()
    test = Waves(**SIZES, seed=1).sequences("test").inputs
    assert not {row.tobytes() for row in first} & {row.tobytes() for row in test}


def test_last_value_is_repeated() -> None:
    own = Waves(horizon=3, **SIZES).sequences("test")
    predicted = last_value(own)
    assert predicted.shape == (50, 3)
    assert (predicted == own.inputs[:, -1]).all()
    assert last_step_error(predicted, own) == pytest.approx(np.square(own.targets[:, -1] - own.inputs[:, -1]).mean())
    assert last_step_error(own.targets[:, -1], own) == 0


def test_linear_model_beats_last_value_and_fits_a_sine() -> None:
    waves = Waves(size=3000)
    train, test = waves.sequences("train"), waves.sequences("test")
    assert last_step_error(linear_model(train, test), test) < last_step_error(last_value(test), test) / 3
    time = np.arange(15) + np.arange(40)[:, None] / 3
    own = np.sin(time / 2).astype(np.float32)
    shaped = train._replace(inputs=own[:, :10, None], targets=own[:, None, 10:])
    assert last_step_error(linear_model(shaped, shaped), shaped) < 1e-10


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps=0"),
        ({"horizon": 0}, "horizon=0"),
        ({"waves": 0}, "waves=0"),
        ({"noise": -0.1}, "noise=-0.1 is negative"),
        ({"test_size": 0}, "test_size=0"),
    ],
)
def test_invalid_settings_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Waves(**wrong)  # type: ignore[arg-type]
