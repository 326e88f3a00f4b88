"""Hidden states, gradients and embedding spaces of trained models, as arrays; sluice.plots draws them."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.analysis.activations import LayerChoice as LayerChoice
    from sluice.analysis.activations import StepPrediction as StepPrediction
    from sluice.analysis.activations import TextActivations as TextActivations
    from sluice.analysis.activations import record_activations as record_activations
    from sluice.analysis.embedding_space import EmbeddingSpace as EmbeddingSpace
    from sluice.analysis.embedding_space import Neighbour as Neighbour
    from sluice.analysis.embedding_space import PCAProjection as PCAProjection
    from sluice.analysis.embedding_space import pca_projection as pca_projection
    from sluice.analysis.gradients import UntrainedNetworks as UntrainedNetworks
    from sluice.analysis.gradients import curves_of_runs as curves_of_runs
    from sluice.analysis.gradients import gradient_norms as gradient_norms
    from sluice.analysis.gradients import mean_by_distance as mean_by_distance
    from sluice.analysis.gradients import run_curves as run_curves
    from sluice.analysis.gradients import untrained_curves as untrained_curves
    from sluice.analysis.hidden_states import HiddenStates as HiddenStates
    from sluice.analysis.hidden_states import record_hidden_states as record_hidden_states

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "activations": ["LayerChoice", "StepPrediction", "TextActivations", "record_activations"],
        "embedding_space": ["EmbeddingSpace", "Neighbour", "PCAProjection", "pca_projection"],
        "gradients": [
            "UntrainedNetworks",
            "curves_of_runs",
            "gradient_norms",
            "mean_by_distance",
            "run_curves",
            "untrained_curves",
        ],
        "hidden_states": ["HiddenStates", "record_hidden_states"],
    },
)
