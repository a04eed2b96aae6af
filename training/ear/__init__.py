"""How the rhythm network came about: grooves composed by rule, rendered, heard, learnt. Imported by nothing else.

    python -m reactive.audio.train.data --work FOLDER     compose, render and measure (needs fluidsynth and soundfonts)
    python -m reactive.audio.train.fit --work FOLDER      train, and write the weights to reactive/audio/model/

Needs the extra ``train`` and, outside Python, fluidsynth with any General MIDI soundfonts.
"""
