"""Imagine: models, conditioning, noise, samplers, the batched core, lanes, camera and lens."""
