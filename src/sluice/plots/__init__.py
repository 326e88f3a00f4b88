"""Figures as matplotlib Figure objects, without pyplot and its global state."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.plots.attention import draw_attention as draw_attention
    from sluice.plots.gradients import draw_gradients as draw_gradients
    from sluice.plots.heatmaps import Panel as Panel
    from sluice.plots.heatmaps import draw_panels as draw_panels
    from sluice.plots.save import add_to_tensorboard as add_to_tensorboard
    from sluice.plots.save import save_figure as save_figure
    from sluice.plots.scatter import draw_scatter as draw_scatter

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "attention": ["draw_attention"],
        "gradients": ["draw_gradients"],
        "heatmaps": ["Panel", "draw_panels"],
        "save": ["add_to_tensorboard", "save_figure"],
        "scatter": ["draw_scatter"],
    },
)
