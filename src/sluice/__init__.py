"""Sluice: recurrent text models, trained, compared and used with PyTorch Lightning and Hydra."""

__version__ = "0.1.0"
