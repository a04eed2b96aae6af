"""Open, probe and decode files: the only room that reads by PyAV, soundfile or Pillow."""
