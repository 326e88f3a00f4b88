"""Selected units of a model at the symbols of a text, and the panels of their plot."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.analysis.decisive import decisive_symbols, symbol_effects
from sluice.analysis.hidden_states import color_scale, display_name
from sluice.errors import UserError
from sluice.inference.classifier import Classifier
from sluice.inference.language_model import LanguageModel
from sluice.inference.tagger import Tagger
from sluice.inference.trace import Trace
from sluice.inference.translator import Translator
from sluice.recipes.registry import recipe_of
from sluice.runs.saved_model import SavedModel

if TYPE_CHECKING:
    from sluice.plots.heatmaps import Panel

UnitValues = dict[str, NDArray[np.float32]]
"""Values of shape (T, units) by the name of the state or gate."""

Reader = Classifier | LanguageModel | Tagger | Translator


def reader_of(model: SavedModel) -> Reader:
    """Returns what reads a text with the model.

    Raises:
        UserError: if the model doesn't read text.
    """
    found = recipe_of(model.config).inference(model)
    if not isinstance(found, Classifier | LanguageModel | Tagger | Translator):
        raise UserError(
            f"{model.path} is of task={model.config.task.name}, which has no recurrent core over tokens: inspect a "
            "run of a classifier, language model, translator or tagger"
        )
    return found


def decisive_positions(model: SavedModel, reader: Reader, trace: Trace) -> list[int]:
    """Positions of the symbols that the task names, or on which the answer of a classifier depends most.

    Args:
        model: the model.
        reader: what reads texts with it.
        trace: its states at the symbols of a text.
    """
    if named := recipe_of(model.config).decisive_symbols:
        return [position for position, token in enumerate(trace.tokens) if token in named]
    if not isinstance(reader, Classifier):
        return []
    network, device = reader.network, reader.device

    def logits(ids: Tensor) -> Tensor:
        return network(ids.to(device), torch.full((len(ids),), ids.shape[1])).logits

    return decisive_symbols(symbol_effects(logits, torch.tensor(reader.vocab.encode(trace.tokens))))


def selected_values(trace: Trace, numbers: Sequence[int], gates: bool) -> UnitValues:
    """Selected units by the name of the state or gate, each of shape (T, units).

    Args:
        trace: states and gates.
        numbers: indices of the units.
        gates: whether gates are included.
    """
    values_by_name = {**trace.states, **(trace.gates if gates else {})}
    return {name: values[:, list(numbers)] for name, values in values_by_name.items()}


class View(NamedTuple):
    """Selected units of a model for a text."""

    model: SavedModel
    trace: Trace
    layer: int
    """Layer number, 1 is the lowest."""
    backward: bool
    numbers: list[int]
    """Unit indices."""
    parts: UnitValues
    decisive: list[int]
    """Positions of the decisive symbols; empty if the model isn't a classifier."""

    @property
    def title(self) -> str:
        """Title of the plot and of the printed tables."""
        config = self.model.config
        direction = " · backward" if self.backward else ""
        layer = f"layer {self.layer} of {config.model.num_layers}"
        return f"{config.task.name} · {config.model.name} · {layer}{direction}"

    @property
    def states(self) -> UnitValues:
        """The parts that are states."""
        return {name: part for name, part in self.parts.items() if name in self.trace.states}

    @property
    def gates(self) -> UnitValues:
        """The parts that are gates; empty unless gates were requested."""
        return {name: part for name, part in self.parts.items() if name not in self.trace.states}


def panels_of(view: View) -> "list[Panel]":
    """A panel for each state and gate, then attention weights and the prediction at each symbol, if there are any."""
    from sluice.plots.heatmaps import Panel

    trace, names = view.trace, [str(unit) for unit in view.numbers]
    panels = [
        Panel(f"{display_name(name)}, by unit", values, names, color_scale(name, values))
        for name, values in view.parts.items()
    ]
    if trace.weights is not None:
        panels.append(Panel("attention weight of each symbol", trace.weights[:, None], [""], "weight"))
    if trace.predictions:
        probabilities = np.asarray([[step.probability] for step in trace.predictions], np.float32)
        labels = [step.prediction for step in trace.predictions]
        panels.append(Panel("prediction, by probability", probabilities, [""], "probability", labels))
    return panels


def caption_of(view: View) -> str:
    """The prediction for the whole text, and what the marks mean."""
    prediction = view.trace.prediction
    if prediction is None:
        return ""
    found = f"prediction: {prediction.prediction} ({prediction.probability:.3f})"
    return f"{found}; red: decisive symbols" if view.decisive else found
