"""What is on disk while a clip is rendered: job folder, journal, lease, segments, cache keys, checkpoints."""
