"""One training run: preparing, processes, Trainer, resuming, SLURM."""
