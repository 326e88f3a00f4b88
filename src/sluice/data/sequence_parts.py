"""What the inputs and outputs of a network over sequences mean."""

from typing import TypedDict

from typing_extensions import NotRequired


class SequenceParts(TypedDict):
    """Checkpoint contents besides the weights: the meaning of the inputs and outputs of the network."""

    vocab: list[str]
    """Input symbols; empty if the network reads features."""
    tags: list[str] | None
    """Names of the classes, if any."""
    features: int | None
    """Number of input features per step, if the network reads features."""
    outputs: int
    """Number of classes, or of values to predict."""
    scheme: NotRequired[str]
    """Scheme of the tags of sequence labelling, or "none"; earlier versions did not store it."""


def sequence_parts(
    *, vocab: list[str] | None = None, features: int | None = None, outputs: int = 1, tags: list[str] | None = None
) -> SequenceParts:
    """Creates SequenceParts; the arguments are its fields."""
    return {"vocab": vocab or [], "tags": tags, "features": features, "outputs": outputs}


def stored_scheme(parts: SequenceParts) -> str | None:
    """Returns the scheme of the tags, None if they do not mark spans; earlier versions read B- and I- tags as iob2."""
    begins = any(tag.startswith("B-") for tag in parts["tags"] or ())
    scheme = parts.get("scheme", "iob2" if begins else "none")
    return None if scheme == "none" else scheme
