"""Sweeps: searches for settings, and what is printed about the runs."""
