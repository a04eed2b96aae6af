"""Hand over: timelines to other tools, and their settings to presets."""
