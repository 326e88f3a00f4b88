"""How the gradient fades with the distance."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def draw_gradients(
    norms: Mapping[str, NDArray[np.float32]], *, title: str = "", quantity: str = "‖∂ loss / ∂ state‖"
) -> Figure:
    """A line for each cell: norms of gradients, on a logarithmic axis, by the distance from the loss in steps.

    Args:
        norms: by the name of the line, (T,) norms at distances 0, 1, ...; NaN and 0 are left out.
        title: above the plot.
        quantity: what the norms are of.

    Raises:
        ValueError: if there is no line, or nothing to be drawn in any.
    """
    drawn = {name: np.where(values > 0, values, np.nan) for name, values in norms.items()}
    if not any(np.isfinite(values).any() for values in drawn.values()):
        raise ValueError("there is no gradient above zero to draw")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for name, values in drawn.items():
        axis.semilogy(np.arange(len(values)), values, label=name)
    axis.set_xlabel("steps before the loss")
    axis.set_ylabel(quantity)
    axis.grid(alpha=0.3)
    axis.legend()
    if title:
        axis.set_title(title, loc="left")
    return figure
