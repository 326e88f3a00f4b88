"""Trainer settings that Lightning accepts but that fail or are slow later."""

import itertools
import sys
from types import ModuleType

import pytest
import torch
from pytorch_lightning.callbacks import Callback

from sluice.errors import UserError
from sluice.targets.instantiate import construct
from sluice.training import trainer_checks


@pytest.mark.parametrize(
    ("supported", "precision", "warned"),
    [(False, "bf16-mixed", True), (True, "bf16-mixed", False), (False, "32-true", False)],
)
def test_emulated_bfloat16_is_reported(
    supported: bool, precision: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    monkeypatch.setattr(trainer_checks.log, "warning", lambda text, *values: lines.append(text % values))
    trainer_checks.check_trainer_settings({"accelerator": "gpu", "max_epochs": 1, "precision": precision})
    assert [line.startswith("This GPU emulates bfloat16") for line in lines] == [True] * warned


def test_callback_of_the_package_lightning_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its classes have the same names, but pytorch_lightning's Trainer doesn't accept them."""
    modules = [ModuleType(name) for name in ("lightning", "lightning.pytorch", "lightning.pytorch.callbacks")]
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for parent, child in itertools.pairwise(modules):
        monkeypatch.setattr(parent, child.__name__.rpartition(".")[2], child, raising=False)
    monkeypatch.setattr(modules[-1], "EarlyStopping", type("EarlyStopping", (), {}), raising=False)
    with pytest.raises(UserError, match="it creates an EarlyStopping, expected a Callback of pytorch_lightning"):
        construct("callbacks.x", {"_target_": "lightning.pytorch.callbacks.EarlyStopping"}, Callback)
