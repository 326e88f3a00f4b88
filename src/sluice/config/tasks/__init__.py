"""The settings of each task."""
