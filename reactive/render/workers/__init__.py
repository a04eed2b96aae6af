"""Who computes segments: this process, or workers of a Ray cluster."""
