"""Timing of cells, training steps and decoding, in interleaved runs."""
