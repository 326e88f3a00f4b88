"""The groups of conf/, and what a command line may do with them."""

DISABLING_OPTIONS = {"scheduler": "constant", "callbacks": "none", "logger": "none"}
"""Options that switch a group off."""
OTHER_GROUPS = (
    "task",
    "model",
    "embedding",
    "optimizer",
    "trainer",
    "paths",
    "hydra",
    "experiment",
    "hparams_search",
    "debug",
)
"""Groups that no option switches off."""
FREE_GROUPS = ("optimizer", "scheduler", "trainer", "callbacks", "logger")
"""Groups without a schema: they take the arguments of the class in `_target_`."""
SINGLE_GROUPS = ("task", "model", "embedding", "optimizer", "scheduler", "trainer", "paths", "debug")
"""Groups of which one option is chosen."""
NEEDED_GROUPS = ("task", "model", "embedding", "optimizer", "trainer", "paths", "hydra")
"""Groups that a run cannot do without."""
