"""Choosing torch's fused implementation of an optimizer."""

from sluice.errors import UserError
from sluice.plain import Plain, PlainMapping

PRECISION_ALIASES = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}
"""Short names that Lightning accepts for `trainer.precision`."""


def choose_fused(optimizer: PlainMapping, trainer: PlainMapping) -> Plain:
    """Replaces `fused: null` in the settings of an optimizer by true or false.

    The step of a fused optimizer unscales the gradients of 16-mixed, which cannot be clipped before: with clipping,
    `null` is then false. It is true everywhere else. Optimizers without the setting are returned unchanged.

    Args:
        optimizer: the group `optimizer`: `_target_` and its arguments.
        trainer: the group `trainer`; `precision` and `gradient_clip_val` are read.

    Raises:
        UserError: for `fused: true` together with clipping and 16-mixed.
    """
    if "fused" not in optimizer:
        return dict(optimizer)
    given = str(trainer.get("precision") or "32-true")
    precision, clip = PRECISION_ALIASES.get(given, given), trainer.get("gradient_clip_val")
    if optimizer["fused"] not in (True, False, None):
        raise UserError(f"optimizer.fused={optimizer['fused']} cannot be used: it must be true, false or null")
    if isinstance(clip, str):
        raise UserError(f"trainer.gradient_clip_val={clip} cannot be used: it must be a number or null")
    refused = precision == "16-mixed" and clip is not None and clip > 0
    if optimizer["fused"] is None:
        return {**optimizer, "fused": not refused}
    if optimizer["fused"] and refused:
        raise UserError(
            f"optimizer.fused=true cannot be combined with trainer.gradient_clip_val={clip:g} and "
            f"trainer.precision={given}: set optimizer.fused=false, trainer.gradient_clip_val=null or "
            "trainer.precision=bf16-mixed"
        )
    return dict(optimizer)
