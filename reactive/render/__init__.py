"""Carry a clip through: sizes, plan, the render itself."""
