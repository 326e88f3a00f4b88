"""Choosing torch's fused implementation of an optimizer."""

from sluice.errors import UserError
from sluice.plain import Plain, PlainMapping

MIXED_PRECISIONS = ("16-mixed", "bf16-mixed")
PRECISION_ALIASES = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}
"""Short names that Lightning accepts for `trainer.precision`."""


def choose_fused(optimizer: PlainMapping, trainer: PlainMapping) -> Plain:
    """Replaces `fused: null` in the settings of an optimizer by true or false.

    Lightning refuses to clip the gradients of a fused optimizer under mixed precision, on every device and also for
    bfloat16, which needs no gradient scaling (Lightning issue 21435). `null` is therefore false where both are on, and
    true everywhere else. Optimizers without the setting are returned unchanged.

    Args:
        optimizer: the group `optimizer`: `_target_` and its arguments.
        trainer: the group `trainer`; `precision` and `gradient_clip_val` are read.

    Raises:
        UserError: for `fused: true` together with clipping and mixed precision.
    """
    if "fused" not in optimizer:
        return dict(optimizer)
    given = str(trainer.get("precision") or "32-true")
    precision, clip = PRECISION_ALIASES.get(given, given), trainer.get("gradient_clip_val")
    refused = precision in MIXED_PRECISIONS and clip is not None and clip > 0
    if optimizer["fused"] is None:
        return {**optimizer, "fused": not refused}
    if optimizer["fused"] and refused:
        raise UserError(
            f"optimizer.fused=true cannot be combined with trainer.gradient_clip_val={clip:g} and "
            f"trainer.precision={given}: set optimizer.fused=false, trainer.gradient_clip_val=null or "
            "trainer.precision=32-true"
        )
    return dict(optimizer)
