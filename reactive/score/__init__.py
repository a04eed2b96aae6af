"""Measurements of a finished clip: sync with the music, flashes, best picture and loop."""
