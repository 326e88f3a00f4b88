"""`model.hidden_size`: one size for all layers, or a list with a size for each layer."""

from omegaconf import DictConfig, ListConfig, OmegaConf

from sluice.config.common import DEFAULT_LAYERS, Model, RecurrentDefaults
from sluice.config.fields import shown
from sluice.errors import UserError


def set_num_layers(config: DictConfig) -> None:
    """Sets model.num_layers to the length of a list in model.hidden_size, unless it was given; changes `config`."""
    sizes = OmegaConf.select(config, "model.hidden_size")
    if isinstance(sizes, ListConfig):
        model = OmegaConf.to_container(config.model)  # not resolved
        if isinstance(model, dict) and model.get("num_layers") == DEFAULT_LAYERS:
            config.model.num_layers = max(1, len(sizes))


def parse_sizes(settings: Model | RecurrentDefaults) -> None:
    """Converts sizes that are strings, as from an environment variable, to numbers."""
    given = settings.hidden_size
    sizes = [int(size) if isinstance(size, str) and size.isdecimal() else size for size in _as_list(given)]
    settings.hidden_size = sizes if isinstance(given, list) else sizes[0]


def check_sizes(model: Model) -> None:
    """Checks a list of sizes against the other settings.

    Raises:
        UserError: with model.num_params, which computes one size, or another model.num_layers than its length.
    """
    sizes = model.hidden_size
    if not isinstance(sizes, list):
        return
    given = f"model.hidden_size={shown(sizes)}"
    if model.num_params is not None:
        raise UserError(
            f"model.num_params={model.num_params} computes one size for all layers and cannot be combined with "
            f"{given}: leave it out, or set task.recurrent.hidden_size to a number"
        )
    if len(sizes) != model.num_layers:
        raise UserError(
            f"{given} cannot be combined with model.num_layers={model.num_layers}: leave model.num_layers out, or give "
            "a size for each layer"
        )


def unify_sizes(model: Model) -> None:
    """Replaces a list of equal sizes by one number, which is the same network."""
    sizes = _as_list(model.hidden_size)
    if len(set(sizes)) == 1:
        model.hidden_size = sizes[0]


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
