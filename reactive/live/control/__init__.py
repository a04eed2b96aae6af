"""Other ways in and out of a preview: OSC, MIDI, microphone."""
