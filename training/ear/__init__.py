"""How the rhythm network comes about: scores made into bands, rendered, heard, learnt. Not part of the wheel.

    python -m training.ear.data --work FOLDER --hearing FOLDER    render and measure (a folder of scores, FluidSynth, soundfonts)
    python -m training.ear.check --work FOLDER                    compare each kind's truth with onsets
    python -m training.ear.fit --work FOLDER --out FOLDER --hours N    train the network with attention; stop and start it as you like
    python -m training.ear.tune --work FOLDER --out FOLDER --until HH:MM    or teach the convolutional one that ships further
    python -m benchmarks rhythm --hearing FOLDER --weights FILE   measure on the validation split
    python -m training.ear.weigh --hearing FOLDER --renders FOLDER --weights FILE    fit the search's weights to the network

Needs the extra ``train`` and, outside Python, Debian's fluidsynth, openmpt123, fluid-soundfont-gm, musescore-general-soundfont-small,
csound-soundfont, opl3-soundfont, avldrums.lv2-soundfont, hydrogen-data, hydrogen-drumkits, freedoom, and mma if it is there.
`benchmarks/ear_split.tsv` names what may not be trained on.
"""
