"""What every batch does the same way: it moves to the device of the model."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

AnyBatch = TypeVar("AnyBatch", bound="Batch")


class Batch:
    """A dataclass of tensors, some of which a model needs on its own device.

    Lengths and positions stay on the CPU, where they are read without waiting for a GPU.
    """

    moved: ClassVar[tuple[str, ...]]
    """Names of the fields that move: tensors, named tuples of tensors, or None."""

    def to(self: AnyBatch, device: torch.device | str, **options: Any) -> AnyBatch:
        """The batch with the fields in `moved` on `device`.

        The copy to a CUDA device is queued (`non_blocking`): from page-locked memory it overlaps with computation.

        Args:
            device: target.
            options: of `Tensor.to`.
        """
        target = torch.device(device)
        if target.type == "cuda":
            options.setdefault("non_blocking", True)
        return self._with(lambda tensor: tensor.to(target, **options))

    def pin_memory(self: AnyBatch) -> AnyBatch:
        """The batch with the fields in `moved` in page-locked memory; called by a DataLoader with `pin_memory`."""
        return self._with(lambda tensor: tensor.pin_memory())

    def _with(self: AnyBatch, change: Callable[[Tensor], Tensor]) -> AnyBatch:
        return replace(self, **{name: _changed(getattr(self, name), change) for name in self.moved})  # type: ignore[type-var]


def _changed(part: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if part is None:
        return None
    return change(part) if isinstance(part, Tensor) else type(part)(*(change(tensor) for tensor in part))
