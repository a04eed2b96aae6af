"""Models: known names, files on disk, families, and loading them into one shape."""
