"""What hooks into a Trainer: checkpoints, training state, progress, examples for TensorBoard."""
