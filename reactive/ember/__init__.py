"""Ember: the small diffusion model that ships inside the package, and how it was made."""
