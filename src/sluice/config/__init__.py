"""Settings with their ranges, composition by Hydra, error sentences and help."""
