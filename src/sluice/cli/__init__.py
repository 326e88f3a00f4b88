"""The `sluice` command with the entry point of training, one file per command."""
