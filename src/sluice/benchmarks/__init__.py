"""Timing of cells, training steps and decoding, in median_seconds runs."""
