"""The names that a preset's expressions may use: every signal with its meaning, every function with its parameters.

Signals are curves in [0, 1] sampled at video frames. *Hits* are zero except at the frame nearest to an event, where they
have the event's strength; `decay` gives them a tail.
"""

from __future__ import annotations

from dataclasses import dataclass

SIGNALS: dict[str, str] = {
    "rms": "loudness of this frame, 1 at the song's loud passages",
    "loudness": "loudness smoothed over about a second",
    "low": "energy below 150 Hz: kick and bass",
    "mid": "energy from 150 Hz to 2.5 kHz: voice, snare, chords",
    "high": "energy above 2.5 kHz: hats, cymbals, air",
    "harmonic": "energy of what sounds on: voices, chords, bass notes",
    "percussive": "energy of what strikes",
    "sustain.low": "what sounds on below 150 Hz: the bass without the kick",
    "sustain.mid": "what sounds on from 150 Hz to 2.5 kHz",
    "sustain.high": "what sounds on above 2.5 kHz",
    "energy.level": "loudness over some seconds, from the song's quiet passages to its loud ones",
    "brightness": "spectral centroid, dark to bright",
    "flux": "how much the spectrum is changing: onset strength as a curve",
    "onset": "hit: any onset",
    "onset.low": "hit: an onset in the low band",
    "onset.mid": "hit: an onset in the mid band",
    "onset.high": "hit: an onset in the high band",
    "kick": "hit: a kick drum, or what does its work",
    "snare": "hit: a snare, clap or rim",
    "hat": "hit: a hi-hat, ride, shaker or cymbal",
    "beat": "hit: a beat",
    "bar": "hit: a downbeat",
    "section": "hit: a section begins",
    "drop": "hit: a section begins in which bass or everything comes in",
    "break": "how deep the passage is that the music breaks down to, 0 elsewhere",
    "silence": "1 where the song is silent",
    "phase.beat": "sawtooth from 0 to 1 over each beat",
    "phase.bar": "sawtooth from 0 to 1 over each bar",
    "section.index": "which section, from 0 for the first to 1 for the last",
    "section.again": "0 where the music of a section is new; where it comes back 1/2, the next time 2/3, then 3/4",
    "section.progress": "from 0 to 1 over each section",
    "section.energy": "how loud and dense the section is among this song's sections",
    "build": "rises towards a drop before it comes, 0 elsewhere",
    **{
        f"pitch.{name}": f"how strongly the note {said} sounds"
        for name, said in zip(
            ("c", "cs", "d", "eb", "e", "f", "fs", "g", "ab", "a", "bb", "b"),
            ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B"),
            strict=True,
        )
    },
    "loop.progress": "from 0 to 1 over each round of the preset's phases",
    "phase.progress": "from 0 to 1 over each phase of the preset",
    "song.progress": "from 0 to 1 over the song",
}

# signals from the band's own stems and MIDI: stem.NAME, stem.NAME.hit, midi.CHANNEL; 0 for a song without them
OWN = ("stem.", "midi.")

# a preset's own knobs are read as macro.NAME
MACRO = "macro."

# how signals without a fixed name are written
OWN_SIGNALS: dict[str, str] = {
    "stem.NAME": "level of a stem that was given by `--stem NAME=FILE`; 0 without it",
    "stem.NAME.hit": "hit: an onset of that stem",
    "midi.1": "hit: a note on channel 1 of the file that was given by `--midi`, and so on to `midi.16`; 0 without it",
    "macro.NAME": "where the preset's own knob stands, the same all through the song",
}

# Known only once phases have been laid over the song, so a phase's `fits` can't use them.
AFTER_PHASES = frozenset({"loop.progress", "phase.progress"})


@dataclass(frozen=True)
class Function:
    """A function of the language: how many curves it takes, then which constants, and what it does."""

    curves: tuple[int, int]
    constants: tuple[str, ...]
    defaults: tuple[float, ...]
    meaning: str


FUNCTIONS: dict[str, Function] = {
    "min": Function((2, 8), (), (), "the least of its arguments"),
    "max": Function((2, 8), (), (), "the greatest of its arguments"),
    "abs": Function((1, 1), (), (), "without its sign"),
    "sqrt": Function((1, 1), (), (), "square root; 0 below 0"),
    "clamp": Function((1, 1), ("low", "high"), (0.0, 1.0), "held between low and high"),
    "mix": Function((3, 3), (), (), "mix(a, b, x): a where x is 0, b where x is 1"),
    "gate": Function((1, 1), ("threshold",), (0.5,), "1 where it reaches the threshold, else 0"),
    "ease": Function((1, 1), (), (), "smoothstep of its argument clamped to 0..1"),
    "pow": Function((1, 1), ("exponent",), (2.0,), "raised to an exponent; negative values count as 0"),
    "smooth": Function((1, 1), ("seconds",), (0.5,), "averaged around each frame, without delay"),
    "decay": Function((1, 1), ("seconds",), (0.2,), "each peak falls to a tenth in so many seconds"),
    "swell": Function((1, 1), ("seconds",), (0.5,), "each peak is approached over so many seconds before it comes"),
    "hold": Function((1, 1), ("seed",), (0.0,), "a random value in 0..1 that jumps with each hit and holds between"),
    "lfo": Function((0, 0), ("bars", "shift"), (1.0, 0.0), "a sine from 0 to 1, one turn in so many bars"),
    "triangle": Function((0, 0), ("bars", "shift"), (1.0, 0.0), "a triangle from 0 to 1, one turn in so many bars"),
    "saw": Function((0, 0), ("bars", "shift"), (1.0, 0.0), "a ramp from 0 to 1 over so many bars, then from 0 again"),
    "wander": Function(
        (0, 0), ("bars", "seed"), (4.0, 0.0), "a smooth random curve in 0..1, a new turn each so many bars"
    ),
}
