"""Sampling, greedy and beam search over a step function."""
