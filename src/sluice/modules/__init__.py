"""LightningModules: the loss, the metrics and the optimizer of a task."""
