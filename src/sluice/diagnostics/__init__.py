"""The environment that Sluice runs in, as reported by `sluice doctor`."""
