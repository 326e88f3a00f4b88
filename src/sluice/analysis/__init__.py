"""Gradients, and choices of what is shown of hidden states and word vectors, as arrays; sluice.plots draws them."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.analysis.decisive import decisive_symbols as decisive_symbols
    from sluice.analysis.decisive import symbol_effects as symbol_effects
    from sluice.analysis.embedding_space import PCAProjection as PCAProjection
    from sluice.analysis.embedding_space import pca_projection as pca_projection
    from sluice.analysis.gradients import UntrainedNetworks as UntrainedNetworks
    from sluice.analysis.gradients import curves_of_runs as curves_of_runs
    from sluice.analysis.gradients import gradient_norms as gradient_norms
    from sluice.analysis.gradients import mean_by_distance as mean_by_distance
    from sluice.analysis.gradients import run_curves as run_curves
    from sluice.analysis.gradients import untrained_curves as untrained_curves
    from sluice.analysis.hidden_states import color_scale as color_scale
    from sluice.analysis.hidden_states import display_name as display_name
    from sluice.analysis.hidden_states import most_reactive_units as most_reactive_units

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "decisive": ["decisive_symbols", "symbol_effects"],
        "embedding_space": ["PCAProjection", "pca_projection"],
        "gradients": [
            "UntrainedNetworks",
            "curves_of_runs",
            "gradient_norms",
            "mean_by_distance",
            "run_curves",
            "untrained_curves",
        ],
        "hidden_states": ["color_scale", "display_name", "most_reactive_units"],
    },
)
