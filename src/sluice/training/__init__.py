"""Training runs: preparation, processes, Trainer, resuming and SLURM."""
