"""Finding, downloading and reading corpora."""
