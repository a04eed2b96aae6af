"""Training of the rhythm network: scores are arranged, rendered, measured, and used for training. Not part of the wheel.

    python -m training.ear.data --work FOLDER --hearing FOLDER    render and measure (a folder of scores, FluidSynth, soundfonts)
    python -m training.ear.check --work FOLDER                    compare each kind's truth with onsets
    python -m training.ear.check --work FOLDER                    compare the true beats of each kind with onsets
    python -m training.ear.fit --work FOLDER --out FOLDER --hours N    train the network with attention; it can be interrupted
    python -m training.ear.tune --work FOLDER --out FOLDER --until HH:MM    or train the bundled convolutional one further
    python -m training.ear.weigh --hearing FOLDER --renders FOLDER --weights FILE    fit the search's weights to the network

Needs the extra ``train`` and, outside Python, Debian's fluidsynth, openmpt123, fluid-soundfont-gm, musescore-general-soundfont-small,
csound-soundfont, opl3-soundfont, avldrums.lv2-soundfont, hydrogen-data, hydrogen-drumkits, freedoom, and optionally mma.
Pieces in `benchmarks/ear_split.tsv` must not be used for training.
"""
