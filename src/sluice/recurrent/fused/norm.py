"""Layer normalisation of one step, and its backward pass (Ba, Kiros & Hinton 2016, arXiv 1607.06450, section 3)."""

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-5


def layer_norm(inputs: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """gain ⊙ (x − mean) / deviation + bias over the last dimension."""
    return F.layer_norm(inputs, gain.shape, gain, bias, EPSILON)


def normalise(inputs: Tensor, normals: Tensor, scales: Tensor, step: int) -> Tensor:
    """(x − mean) / deviation of each row, kept with 1 / deviation for the backward pass.

    Args:
        inputs: (rows, W).
        normals: (T, B, W), takes the result at `step`.
        scales: (T, B), takes 1 / deviation.

    Returns:
        (rows, W).
    """
    normal, _, scale = torch.native_layer_norm(inputs, inputs.shape[-1:], None, None, EPSILON)
    rows = inputs.shape[0]
    normals[step, :rows], scales[step, :rows] = normal, scale.squeeze(-1)
    return normal


def normalise_backward(grad: Tensor, gain: Tensor, normal: Tensor, scale: Tensor) -> Tensor:
    """The gradient of the input from that of gain · normal + bias; (rows, W), scale (rows,)."""
    of_normal = grad * gain
    centred = of_normal - of_normal.mean(-1, keepdim=True)
    return (centred - normal * (of_normal * normal).mean(-1, keepdim=True)) * scale.unsqueeze(-1)
