"""Previews in the browser, of a song or of a live input."""
