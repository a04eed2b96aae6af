"""Open, probe and decode files: the only package that reads with PyAV, soundfile or Pillow."""
