"""One recipe per task: builds its data and LightningModule, and evaluates and uses its trained models."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.recipes.load import load_model as load_model
    from sluice.recipes.registry import recipe_named as recipe_named
    from sluice.recipes.registry import register as register
    from sluice.recipes.task import TaskRecipe as TaskRecipe
    from sluice.runs.evaluation import Evaluation as Evaluation
    from sluice.runs.evaluation import Request as Request
    from sluice.runs.saved_model import SavedModel as SavedModel

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "load": ["load_model"],
        "registry": ["recipe_named", "register"],
        "task": ["Evaluation", "Request", "SavedModel", "TaskRecipe"],
    },
)
