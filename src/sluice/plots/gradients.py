"""Gradient norms against the distance from the loss."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def draw_gradients(
    norms: Mapping[str, NDArray[np.float32]], *, title: str = "", quantity: str = "‖∂ loss / ∂ state‖"
) -> Figure:
    """Plots gradient norms on a logarithmic axis against the distance from the loss, one line for each name.

    Args:
        norms: (T,) norms at distances 0, 1, ... steps, by the name of the line; NaN and 0 are omitted.
        title: title of the plot.
        quantity: label of the y axis.

    Raises:
        ValueError: if no norm is above 0.
    """
    lines = {name: np.where(values > 0, values, np.nan) for name, values in norms.items()}
    if not any(np.isfinite(values).any() for values in lines.values()):
        raise ValueError("there is no gradient above zero to draw")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for name, values in lines.items():
        axis.semilogy(np.arange(len(values)), values, label=name)
    axis.set_xlabel("steps before the loss")
    axis.set_ylabel(quantity)
    axis.grid(alpha=0.3)
    axis.legend()
    if title:
        axis.set_title(title, loc="left")
    return figure
