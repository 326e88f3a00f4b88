"""Schedules named by `scheduler._target_`: functions of Sluice's form, and the classes of torch.optim.lr_scheduler."""

import inspect
import math
import warnings
from collections.abc import Callable

from torch.optim import Optimizer, lr_scheduler

from sluice.errors import UserError
from sluice.optim.schedules import Schedule, Stretchable
from sluice.plain import Plain

INTERVALS = ("step", "epoch")
OWN_SETTINGS = ("interval", "frequency", "monitor")
"""Settings of `scheduler` that are not arguments of the class or function, see `Schedule`."""
RATES = ("max_lr", "base_lr")
"""Parameters of torch's cyclic schedules that are learning rates, one or one for each parameter group."""
TRIED_STEPS = 11
"""Length of the schedule with which the arguments are tried; OneCycleLR with pct_start=0.1 fails for 10 steps."""
LENGTHS = ("total_steps", "T_max")
"""Parameters of torch's schedules that are the number of steps of the whole schedule."""


class ConfiguredSchedule:
    """Creates the schedule of an optimizer.

    The class or function gets the optimizer, the given arguments and, if it has such parameters and they are not given,
    `total_steps` (or `T_max`), the optimizer steps of the whole training divided by `frequency`, and `mode`, the
    direction of the monitored metric. The steps of a schedule that gets the length of the training are optimizer steps;
    those of another one are epochs, as in Lightning.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
        >>> make = ConfiguredSchedule(lr_scheduler.StepLR, {"step_size": 3, "interval": "step"})
        >>> make(optimizer, total_steps=10, mode="min").interval
        'step'
    """

    def __init__(self, target: Callable[..., Schedule | lr_scheduler.LRScheduler], given: Plain) -> None:
        """
        Args:
            target: a scheduler class, or a function that returns a scheduler or a `Schedule`.
            given: its arguments, and optionally interval ("step" or "epoch"), frequency and monitor.

        Raises:
            ValueError: for an invalid interval, frequency or metric, or a step at which the schedule would begin.
        """
        self.func = target
        """The class or function, named as in functools.partial."""
        self._given = {name: value for name, value in given.items() if name not in OWN_SETTINGS}
        self._own = {name: value for name, value in given.items() if name in OWN_SETTINGS and value is not None}
        parameters = inspect.signature(target).parameters
        takes_mode = not isinstance(target, type) or issubclass(target, lr_scheduler.ReduceLROnPlateau)
        self._length = next((name for name in LENGTHS if name in parameters and name not in self._given), None)
        if {"epochs", "steps_per_epoch"} <= self._given.keys():  # the length of OneCycleLR
            self._length = None
        self._takes_mode = takes_mode and "mode" in parameters and "mode" not in self._given
        interval, frequency, monitor = (self._own.get(name) for name in OWN_SETTINGS)
        if "last_epoch" in self._given:
            raise ValueError("last_epoch is managed by Sluice, a resumed run continues its schedule: leave it out")
        if interval is not None and interval not in INTERVALS:
            raise ValueError(f"interval must be step or epoch, got {interval}")
        if frequency is not None and (isinstance(frequency, bool) or not isinstance(frequency, int) or frequency < 1):
            raise ValueError(f"frequency must be a whole number of at least 1, got {frequency}")
        if interval == "epoch" and self._length is not None:
            raise ValueError(f"interval=epoch needs {self._length}, the length of the schedule in epochs: give both")
        if ("epochs" in self._given) != ("steps_per_epoch" in self._given):
            raise ValueError("epochs and steps_per_epoch have an effect only together: give both or neither")
        if monitor is not None and not isinstance(monitor, str):
            raise ValueError(f"monitor must be the name of a metric, got {monitor}")

    def __call__(self, optimizer: Optimizer, *, total_steps: int, mode: str) -> Schedule:
        """Creates the schedule.

        Args:
            optimizer: the optimizer.
            total_steps: optimizer steps of the whole training.
            mode: "min" or "max", direction of the monitored metric.

        Raises:
            TypeError: if the function returns neither a scheduler nor a `Schedule`.
            UserError: for a schedule of fewer optimizer steps than the training.
            ValueError: for arguments that the class rejects, a schedule per step that needs a validation metric,
                or a metric for a schedule that reads none.
        """
        made = self._made(optimizer, total_steps=total_steps, mode=mode)
        if made.interval == "step":
            check_length(made.scheduler, math.ceil(total_steps / made.frequency), "optimizer steps")
        return made

    def _made(self, optimizer: Optimizer, *, total_steps: int, mode: str) -> Schedule:
        changes = math.ceil(total_steps / self._own.get("frequency", 1))
        automatic: Plain = {} if self._length is None else {self._length: changes}
        automatic |= {"mode": mode} if self._takes_mode else {}
        made = self.func(optimizer, **{**self._given, **self._rates_of_groups(optimizer), **automatic})
        if isinstance(made, lr_scheduler.LRScheduler):
            made = Schedule(made, "step" if self._length is not None else "epoch")
        if not isinstance(made, Schedule):
            raise TypeError(f"it creates a {type(made).__name__}, expected an LRScheduler of torch")
        made = made._replace(**self._own)
        reads_metric = isinstance(made.scheduler, lr_scheduler.ReduceLROnPlateau)
        if made.monitor is not None and not reads_metric:
            raise ValueError(f"monitor={made.monitor} has no effect on {type(made.scheduler).__name__}: leave it out")
        if reads_metric and made.interval == "step":
            raise ValueError("ReduceLROnPlateau needs interval=epoch, since it reads a validation metric")
        return made

    def _rates_of_groups(self, optimizer: Optimizer) -> Plain:
        """Returns the given learning rates for each parameter group, in proportion to the rates of the groups."""
        groups = optimizer.param_groups
        if len(groups) == 1 or not isinstance(self.func, type):
            return {}
        rates = {name: rate for name, rate in self._given.items() if name in RATES and isinstance(rate, int | float)}
        factors = [float(group["lr"] / groups[0]["lr"]) for group in groups]
        return {name: [rate * factor for factor in factors] for name, rate in rates.items()}

    def example(self, optimizer: Optimizer) -> Schedule:
        """Returns the schedule of a training of a few steps; see `__call__`."""
        return self._made(optimizer, total_steps=TRIED_STEPS * self._own.get("frequency", 1), mode="max")

    def try_with(self, optimizer: Optimizer, max_epochs: int = 0) -> None:
        """Creates the schedule and takes some steps, since schedules use some of their arguments only then.

        Args:
            optimizer: an optimizer without further use; its learning rate is changed.
            max_epochs: epochs of the training.

        Raises:
            ValueError: if a learning rate becomes negative or is not finite, or a schedule has fewer epochs than the
                training; also see `__call__`.
        """
        made = self.example(optimizer)
        scheduler = made.scheduler
        if made.interval == "epoch":
            check_length(scheduler, max_epochs // made.frequency, "epochs")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the optimizer takes no steps
            for step in range(1, TRIED_STEPS):
                try:
                    scheduler.step(0.0) if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else scheduler.step()
                except ValueError as error:
                    if "Tried to step" in str(error):  # a schedule of fewer steps
                        return
                    raise
                rates = [float(group["lr"]) for group in optimizer.param_groups]
                wrong = next((rate for rate in rates if not 0 <= rate < math.inf), None)
                if wrong is not None:
                    raise ValueError(f"it sets the learning rate to {wrong:g} at step {step}, change its arguments")


def check_length(scheduler: lr_scheduler.LRScheduler, needed: int, unit: str) -> None:
    """Checks that a schedule of a fixed length, after which it fails, is as long as the training.

    Args:
        scheduler: the schedule.
        needed: how often training changes the learning rate.
        unit: name of these intervals.

    Raises:
        UserError: if it is shorter.
    """
    length = getattr(scheduler, "total_steps", needed)
    if needed > length and not isinstance(scheduler, Stretchable):
        raise UserError(
            f"scheduler.total_steps={length} is too small: training has {needed:,} {unit}; leave it out for as many "
            "steps as training has"
        )
