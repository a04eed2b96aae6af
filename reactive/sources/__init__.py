"""Photographs and videos that a band feeds in."""
