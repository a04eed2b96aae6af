"""Hear a song: track to analysis and grid."""
