"""The `sluice` command and the entry point of train.py, one file per command."""
