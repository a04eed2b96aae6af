"""Previews in the browser while the track plays."""
