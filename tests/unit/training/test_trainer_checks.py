"""Trainer settings that Lightning accepts but that fail or are slow later."""

import pytest
import torch

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
