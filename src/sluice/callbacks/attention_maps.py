"""Attention of a translation as a picture: a row for each word written, a column for each word read."""

from typing import Any

from sluice.inference.translator import Translation, axes_of


def attention_map(translation: Translation) -> Any:
    """A matplotlib Figure with the words on its axes; darker where the model looked more.

    Raises:
        ValueError: if the translation has no weights.
    """
    if translation.weights is None:
        raise ValueError("a model without attention has no map of it: train with another task.attention than none")
    from sluice.plots.attention import draw_attention  # matplotlib is slow to import

    columns, rows = axes_of(translation)
    return draw_attention(translation.weights.float().numpy(), looking=rows, looked_at=columns, most=1)
