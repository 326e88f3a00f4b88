"""Exports trained networks to ONNX, torch.export programs and safetensors."""
