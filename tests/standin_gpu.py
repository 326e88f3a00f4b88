"""An emulated GPU: tensors that report the device cuda:0 and compute on the CPU.

It detects on any machine operations on tensors of different devices, and records where the program synchronises with
the device. Values are those of the CPU, so results can be compared.
"""

import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda", 0)
SOURCE = str(Path(__file__).resolve().parents[1] / "src" / "sluice")
aten = torch.ops.aten
WAITING = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
    aten.bincount.default,
    aten.repeat_interleave.Tensor,
}
"""Operations that synchronise with the host."""
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
waits: list[str] = []
"""Synchronisation points of the program: "operation at module:function"."""


def _note(operation: str) -> None:
    frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(SOURCE)]
    where = f"{Path(frames[-1].filename).relative_to(SOURCE)}:{frames[-1].name}" if frames else "outside"
    waits.append(f"{operation} at {where}")


class OnGPU(Tensor):
    """A tensor on the emulated device; `held` is its value."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnGPU":
        dense = held.layout == torch.strided
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            **({"strides": held.stride(), "storage_offset": held.storage_offset()} if dense else {}),
            dtype=held.dtype,
            layout=held.layout,
            requires_grad=held.requires_grad,
            device="cpu",
        )

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"OnGPU({self.held})"

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    def tolist(self) -> Any:
        _note("tolist")
        return self.held.tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def new_tensor(self, data: Any, **options: Any) -> Tensor:
        _note("copy from a list")
        return OnGPU(self.held.new_tensor(data, **options))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        _check_devices(func, given)
        if func in WAITING or (func in INDEXED and _is_mask(args[1])):
            _note(func.__name__)
        made = func(*tree_map(_value, args), **tree_map(_value, kwargs))
        return return_and_correct_aliasing(func, args, kwargs, tree_map(_on_gpu, made))


def _check_devices(func: Any, given: list[Tensor]) -> None:
    strangers = [tensor for tensor in given if not isinstance(tensor, OnGPU) and tensor.dim()]
    if not strangers:
        return
    if func in INDEXED and isinstance(given[0], OnGPU):
        _note("index on the CPU")
    elif func is aten.copy_.default:
        _note("copy")
    else:
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, found cuda:0 and cpu")


def _is_mask(indices: Any) -> bool:
    return any(isinstance(index, Tensor) and index.dtype == torch.bool for index in tree_leaves(indices))


def _value(leaf: Any) -> Any:
    return leaf.held if isinstance(leaf, OnGPU) else leaf


def _on_gpu(leaf: Any) -> Any:
    return OnGPU(leaf) if isinstance(leaf, Tensor) and not isinstance(leaf, OnGPU) else leaf


class _Redirect(TorchFunctionMode):
    """Redirects tensors created on, or moved to or from, a CUDA device to the emulated one."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in ("to", "cuda", "cpu", "type_as") and isinstance(args[0], Tensor):
            return self._moved(func, args, kwargs)
        if name == "__setitem__" and isinstance(args[0], OnGPU) and not isinstance(args[2], Tensor):
            _note("assignment of a number")
        if name == "pin_memory":
            return _pinned(args[0])
        if name in ("_pack_padded_sequence", "_pad_packed_sequence") and isinstance(args[0], OnGPU):
            return (_packed if name == "_pack_padded_sequence" else _padded)(*args)
        if kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cuda":
            kwargs["device"] = "cpu"
            if name in ("tensor", "as_tensor"):
                _note("copy from a list")
            return _on_gpu(func(*args, **kwargs))
        return func(*args, **kwargs)

    def _moved(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        tensor, target = args[0], _target(func, args, kwargs)
        if target is None or target.type == tensor.device.type:
            return func(*_without_device(args), **{key: value for key, value in kwargs.items() if key != "device"})
        pinned = getattr(tensor, "_pinned", False)
        if not (pinned and kwargs.get("non_blocking")):
            _note(f"copy from {tensor.device.type} to {target.type}")
        assert not tensor.requires_grad or tensor.is_leaf, "moving a non-leaf tensor is not supported"
        moved = tensor.held if isinstance(tensor, OnGPU) else OnGPU(tensor.detach())
        dtype = kwargs.get("dtype") or next((arg for arg in args[1:] if isinstance(arg, torch.dtype)), None)
        moved = moved.detach() if dtype is None else moved.detach().to(dtype)
        return moved.requires_grad_(tensor.requires_grad)


def _packed(inputs: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    """Replaces torch's op, whose backward would create CPU tensors; likewise `_padded`."""
    assert not batch_first
    sizes = (torch.arange(int(lengths[0])).unsqueeze(1) < lengths).sum(1)
    return torch.cat([step[:rows] for step, rows in zip(inputs.unbind(0), sizes.tolist(), strict=False)]), sizes


def _padded(data: Tensor, sizes: Tensor, batch_first: bool, value: float, steps: int) -> tuple[Tensor, Tensor]:
    assert not batch_first
    rows = int(sizes[0])
    padded = [nn.functional.pad(step, (0, 0, 0, rows - len(step)), value=value) for step in data.split(sizes.tolist())]
    padded += [torch.full_like(padded[0], value)] * (steps - len(padded))
    return torch.stack(padded), (sizes.unsqueeze(1) > torch.arange(rows)).sum(0)


def _pinned(tensor: Tensor) -> Tensor:
    copy = tensor.detach().clone()
    copy._pinned = True  # type: ignore[attr-defined]
    return copy


def _target(func: Any, args: Any, kwargs: dict[str, Any]) -> torch.device | None:
    if func.__name__ in ("cpu", "cuda"):
        return torch.device(func.__name__)
    for given in (kwargs.get("device"), *args[1:]):
        if isinstance(given, str | torch.device):
            return torch.device(given)
        if isinstance(given, Tensor):
            return given.device
    return None


def _without_device(args: Any) -> Any:
    return tuple(arg for number, arg in enumerate(args) if number == 0 or not isinstance(arg, str | torch.device))


@contextmanager
def standin_gpu() -> Iterator[None]:
    """Within the block `.to("cuda:0")` and `device="cuda:0"` give tensors on the emulated device."""
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    waits.clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about Intel GPUs, and about cuDNN missing in a CPU build
            without_cudnn = patch.object(torch.backends.cudnn, "is_acceptable", lambda tensor: False)
            with torch.backends.mkldnn.flags(enabled=False), without_cudnn, _Redirect():
                yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)


def to_gpu(module: nn.Module) -> None:
    """Moves a module; shared parameters stay shared, as on a real device."""
    owners: dict[int, list[tuple[nn.Module, str]]] = {}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append((part, name))
    module.to(GPU)
    for (first, first_name), *others in owners.values():
        for part, name in others:
            part._parameters[name] = first._parameters[first_name]
