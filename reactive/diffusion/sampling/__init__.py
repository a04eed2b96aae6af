"""Samplers, noise schedule and the noise that a walk passes through."""
