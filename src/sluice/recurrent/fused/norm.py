"""Layer normalisation of one step and its backward pass (Ba, Kiros & Hinton 2016, arXiv 1607.06450, section 3)."""

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-5


def layer_norm(inputs: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Layer normalisation over the last dimension: gain ⊙ (x − mean) / deviation + bias.

    Args:
        inputs: (..., W).
        gain: (W,).
        bias: (W,).
    """
    return F.layer_norm(inputs, gain.shape, gain, bias, EPSILON)


def normalise(inputs: Tensor, normals: Tensor, scales: Tensor, step: int) -> Tensor:
    """Normalises each row, (x − mean) / deviation, and stores the result and 1 / deviation for the backward pass.

    Args:
        inputs: (rows, W).
        normals: (T, B, W), receives the result at `step`.
        scales: (T, B), receives 1 / deviation at `step`.
        step: the step.

    Returns:
        (rows, W).
    """
    normal, _, scale = torch.native_layer_norm(inputs, inputs.shape[-1:], None, None, EPSILON)
    rows = inputs.shape[0]
    normals[step, :rows], scales[step, :rows] = normal, scale.squeeze(-1)
    return normal


def normalise_backward(grad: Tensor, gain: Tensor, normal: Tensor, scale: Tensor) -> Tensor:
    """Returns the gradient of `normalise`'s inputs.

    Args:
        grad: (rows, W), the gradient of gain · normal + bias.
        gain: (W,).
        normal: (rows, W), the normalised inputs.
        scale: (rows,), 1 / deviation.
    """
    grad_normal = grad * gain
    centred = grad_normal - grad_normal.mean(-1, keepdim=True)
    return (centred - normal * (grad_normal * normal).mean(-1, keepdim=True)) * scale.unsqueeze(-1)
