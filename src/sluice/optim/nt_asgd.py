"""Non-monotonically triggered averaged SGD (NT-ASGD)."""

from collections.abc import Callable

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT


class NTASGD(Optimizer):
    """NT-ASGD of Merity, Keskar & Socher (2018), "Regularizing and optimizing LSTM language models", algorithm 1.

    Plain SGD until a validation loss exceeds the best loss recorded before the last `patience` validations; from then
    on the weights are also averaged. Call `swap` to evaluate with the averages, and again to continue training.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = NTASGD([weight], lr=0.1, patience=1)
        >>> for loss in (1.0, 2.0, 3.0):
        ...     optimizer.record_validation(loss)
        >>> optimizer.averaging
        True
    """

    def __init__(self, params: ParamsT, lr: float = 30.0, weight_decay: float = 1.2e-6, patience: int = 5) -> None:
        """
        Args:
            params: parameters or parameter groups.
            lr: learning rate.
            weight_decay: L2 penalty.
            patience: n, non-monotone interval, in validations.

        Raises:
            ValueError: if the learning rate is not above 0, the decay below 0 or the patience below 1.
        """
        if not lr > 0 or weight_decay < 0 or patience < 1:
            raise ValueError(
                f"lr must be above 0, weight_decay at least 0 and patience at least 1, "
                f"got {lr:g}, {weight_decay:g} and {patience}"
            )
        defaults = {"lr": lr, "weight_decay": weight_decay, "patience": patience, "averaging": False, "seen": []}
        super().__init__(params, defaults)

    @property
    def averaging(self) -> bool:
        """Whether averaging has started."""
        return bool(self.param_groups[0]["averaging"])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.add_(parameter.grad.add(parameter, alpha=group["weight_decay"]), alpha=-group["lr"])
                if group["averaging"]:
                    state = self.state[parameter]
                    state["steps"] = state.get("steps", 0) + 1
                    if "average" not in state:  # in states saved by earlier versions
                        state["average"] = parameter.clone()
                    state["average"].lerp_(parameter, 1 / state["steps"])
        return loss

    def record_validation(self, loss: float) -> None:
        """Records the loss of a validation, which may start the averaging."""
        seen = self.param_groups[0]["seen"]
        patience = self.param_groups[0]["patience"]
        if not self.averaging and len(seen) > patience and loss > min(seen[:-patience]):
            self._start_averaging()
        seen.append(loss)

    def _start_averaging(self) -> None:
        """Sets T: the average Σ w_i / (K − T + 1) over i = T … K begins with the current weights, w_T."""
        for group in self.param_groups:
            group["averaging"] = True
            for parameter in group["params"]:
                self.state[parameter] = {"steps": 1, "average": parameter.detach().clone()}

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the weights and their averages; does nothing before averaging has started."""
        for parameter, state in self.state.items():
            if "average" in state:
                weight = parameter.detach().clone()
                parameter.copy_(state["average"])
                state["average"].copy_(weight)
