"""Judge a finished clip."""
