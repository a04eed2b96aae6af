"""Moves of pictures: camera, lens, optical flow."""
