"""Metrics that are the same on one process and on many."""
