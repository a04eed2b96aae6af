"""What a band writes and shares: schema, expression language, signal names, and where presets are found."""
