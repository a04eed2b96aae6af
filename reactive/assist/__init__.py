"""What larger models can hear in a song: its stems, and its words. Each needs weights that are fetched once, when asked."""
