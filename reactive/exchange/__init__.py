"""Export of timelines to other tools, and import of their settings as presets."""
