"""Run folders: names, leases, checkpoint files, results, logs, comparison tables."""
