"""Pictures as matplotlib figures of their own, without any global state."""
