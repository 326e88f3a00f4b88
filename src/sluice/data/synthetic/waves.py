"""Prediction of sums of sine waves."""

import numpy as np
from numpy.typing import NDArray

from sluice.data.ragged import Sequences
from sluice.data.synthetic.base import check_at_least, check_memory, generator, split_sizes
from sluice.errors import UserError

MIN_FREQUENCY, FREQUENCY_RANGE = 10.0, 10.0
"""Angular frequency of the k-th wave: k · (MIN_FREQUENCY + a number in [0, FREQUENCY_RANGE)), time from 0 to 1."""
AMPLITUDE = 0.5
"""Amplitude of the first wave."""
DECAY = 0.4
"""Ratio of the amplitudes of successive waves."""


class Waves:
    """Noisy sums of sine waves of random frequency and phase; the targets of every step are the next values.

    As in Géron (2019), "Hands-on machine learning", chapter 15: two waves with amplitudes 0.5 and 0.2 over a time from
    0 to 1, uniform noise of width 0.1.
    """

    def __init__(
        self,
        *,
        steps: int = 50,
        horizon: int = 10,
        waves: int = 2,
        noise: float = 0.1,
        size: int = 7000,
        val_size: int = 2000,
        test_size: int = 1000,
        seed: int = 0,
    ) -> None:
        """
        Args:
            steps: T, number of input steps.
            horizon: number of values to predict at every step.
            waves: number of waves.
            noise: width of the uniform noise.
            size: training sequences.
            val_size: validation sequences.
            test_size: test sequences.
            seed: seed of the sequences.

        Raises:
            UserError: if the noise is negative or another setting is below 1.
        """
        check_at_least(1, steps=steps, horizon=horizon, waves=waves)
        if noise < 0:
            raise UserError(f"noise={noise} is negative: choose 0 or more")
        self.steps, self.horizon, self.waves, self.noise, self.seed = steps, horizon, waves, noise, seed
        self.sizes = split_sizes(size, val_size, test_size)
        check_memory(4 * steps * horizon + 8 * (steps + horizon), self.sizes, steps=steps, horizon=horizon)

    def sequences(self, split: str) -> Sequences:
        """Returns inputs (N, T, 1) and targets (N, T, horizon): target k of step t is the value at t + 1 + k."""
        random, size = generator(self.seed, split), self.sizes[split]
        time = np.linspace(0, 1, self.steps + self.horizon)
        values = self.noise * (random.random((size, len(time))) - 0.5)
        for number in range(1, self.waves + 1):
            frequency = number * (MIN_FREQUENCY + FREQUENCY_RANGE * random.random((size, 1)))
            values += AMPLITUDE * DECAY ** (number - 1) * np.sin((time - random.random((size, 1))) * frequency)
        windows = np.lib.stride_tricks.sliding_window_view(values.astype(np.float32), self.horizon, axis=1)
        return Sequences(values[:, : self.steps, None].astype(np.float32), windows[:, 1:].copy())


def last_value(sequences: Sequences) -> NDArray[np.float32]:
    """Returns the predictions (N, horizon) of the first baseline: the last value, repeated."""
    return np.repeat(sequences.inputs[:, -1], sequences.targets.shape[-1], axis=1)


def linear_model(train: Sequences, sequences: Sequences) -> NDArray[np.float32]:
    """Returns the predictions (N, horizon) of the second baseline: linear regression on all T values.

    Args:
        train: sequences to fit.
        sequences: sequences to predict.
    """
    weights, *_ = np.linalg.lstsq(_with_intercept(train), train.targets[:, -1], rcond=None)
    return (_with_intercept(sequences) @ weights).astype(np.float32)


def last_step_error(predicted: NDArray[np.float32], sequences: Sequences) -> float:
    """Returns the mean squared error of predictions (N, horizon) at the last step."""
    return float(np.square(predicted - sequences.targets[:, -1]).mean())


def _with_intercept(sequences: Sequences) -> NDArray[np.float64]:
    values = sequences.inputs[..., 0].astype(np.float64)
    return np.concatenate([values, np.ones((len(values), 1))], axis=1)
