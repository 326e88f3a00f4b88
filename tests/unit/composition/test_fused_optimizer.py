"""`fused: null` resolves to a value that Lightning accepts, for every optimizer, precision and clipping."""

from itertools import product
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import instantiate
from pytorch_lightning.plugins import MixedPrecision
from torch import nn

from running import CONF
from sluice.composition.fused_optimizer import PRECISION_ALIASES, choose_fused
from sluice.errors import UserError
from sluice.torch_internals import forgo_gradient_scaling

OPTIMIZERS = sorted((CONF / "optimizer").glob("*.yaml"))
PRECISIONS = ("32-true", "64-true", "bf16-true", "16-mixed", "bf16-mixed", "16", "bf16", 16, 32)
CLIPS = (None, 0, 0.25, 1.0)


def settings_of(file: Any) -> dict[str, Any]:
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {**settings, "lr": 0.1} if "lr" in settings else settings


def lightning_accepts(optimizer: dict[str, Any], precision: Any, clip: float | None) -> bool:
    """Whether Lightning's own plugin clips the gradients of this optimizer."""
    name = PRECISION_ALIASES.get(str(precision), str(precision))
    if not name.endswith("mixed") or clip is None:
        return True
    made = instantiate(optimizer, _convert_="all")([nn.Parameter(torch.zeros(1))])
    if name == "bf16-mixed":
        forgo_gradient_scaling(made)
    plugin = MixedPrecision(name, "cpu", scaler=None if name.startswith("bf16") else torch.amp.GradScaler("cpu"))
    try:
        plugin.clip_gradients(made, clip)
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("file", OPTIMIZERS, ids=lambda file: file.stem)
def test_automatic_choice_is_accepted_by_lightning(file: Any) -> None:
    optimizer = settings_of(file)
    for precision, clip in product(PRECISIONS, CLIPS):
        chosen = choose_fused(optimizer, {"precision": precision, "gradient_clip_val": clip})
        assert lightning_accepts(chosen, precision, clip), (precision, clip)
        if "fused" in optimizer:
            assert chosen["fused"] == lightning_accepts({**optimizer, "fused": True}, precision, clip)
        else:
            assert chosen == optimizer


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_fused_true_is_refused_where_lightning_fails(name: str) -> None:
    optimizer = {**settings_of(CONF / "optimizer" / f"{name}.yaml"), "fused": True}
    for precision, clip in product(PRECISIONS, CLIPS):
        trainer = {"precision": precision, "gradient_clip_val": clip}
        if lightning_accepts(optimizer, precision, clip):
            assert choose_fused(optimizer, trainer)["fused"] is True
        else:
            with pytest.raises(UserError, match=r"optimizer\.fused=true cannot be combined with .*fused=false"):
                choose_fused(optimizer, trainer)


def test_fused_false_stays_false() -> None:
    optimizer = {"_target_": "torch.optim.AdamW", "fused": False}
    for precision, clip in product(PRECISIONS, CLIPS):
        assert choose_fused(optimizer, {"precision": precision, "gradient_clip_val": clip}) == optimizer
