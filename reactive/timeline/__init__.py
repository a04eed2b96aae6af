"""Decide: analysis and preset to what every frame shall be."""
