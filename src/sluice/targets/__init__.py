"""Classes and functions that the settings name in `_target_`: their arguments are checked, and they are called."""
