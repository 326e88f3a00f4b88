"""A custom cell in a user's file, and how to unregister it."""

import os
import sys
from pathlib import Path

from hydra.core.config_store import ConfigStore

from sluice.config.schema import TASK_SCHEMAS
from sluice.config.user_code import CHANGED_ALLOWED, MODULES
from sluice.recipes import registry
from sluice.recurrent import CELLS

MINIMAL_GATED_UNIT = '''\
import torch

from sluice.recurrent import Cell, HiddenState, register_cell


@register_cell("mgu")
class MinimalGatedUnit(Cell):
    """Zhou et al. (2016): one gate both forgets and takes in."""

    gates = ("forget", "new")

    def step(self, projected, state, recurrent):
        forget_in, new_in = projected.chunk(2, -1)
        forget = torch.sigmoid(forget_in + recurrent.rows(0, self.hidden_size)(state.hidden))
        new = torch.tanh(new_in + recurrent.rows(self.hidden_size)(forget * state.hidden))
        return HiddenState((1 - forget) * state.hidden + forget * new), (forget, new)
'''
_OF_SLUICE = frozenset(CELLS)


def write_cell(path: Path, source: str = MINIMAL_GATED_UNIT) -> Path:
    """Writes the cell to `path`."""
    path.write_text(source, encoding="utf-8")
    return path


def unregister_custom_code() -> None:
    """Unregisters all cells and tasks of user files, and removes their modules."""
    for name in set(CELLS) - _OF_SLUICE:
        del CELLS[name]
    for name in set(TASK_SCHEMAS) - set(registry.BUILT_IN):
        del TASK_SCHEMAS[name]
        registry._found.pop(name, None)
        ConfigStore.instance().repo["schema"].pop(f"{name}.yaml", None)
    for name in [name for name in sys.modules if name.startswith("sluice_user_")]:
        del sys.modules[name]
    for variable in (MODULES, CHANGED_ALLOWED):
        os.environ.pop(variable, None)
