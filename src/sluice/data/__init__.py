"""DataModules, collation, samplers, cached preparation, corpora."""
