"""Run folders: names, leases, checkpoint files, results, logs and comparison tables."""
