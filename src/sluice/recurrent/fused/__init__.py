"""Fused scans: the whole time loop of a layer in one call."""
