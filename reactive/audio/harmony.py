"""Harmony: sustained and percussive sound, pitch classes, and the key."""

from __future__ import annotations

import numpy as np

from reactive.audio.spectrum import Spectra, mel_edges, row_chunks

# how well each degree fits a key, by listeners' judgement (Krumhansl and Kessler, Psychological Review 1982)
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
PITCHES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
# medians over 0.4 s of time and over nine mel bands separate sustained from percussive sound
LASTING_ROWS, BROAD_BANDS = 17, 9
# least correlation for a key
CLEAR_KEY = 0.5


def separate(spectra: Spectra) -> tuple[np.ndarray, np.ndarray]:
    """Return harmonic and percussive amplitude below 150 Hz, up to 2.5 kHz and above, float32 [ceil(t / 2), 3] each.

    Median filtering (Fitzgerald 2010) on two rows of mel bands at a time instead of a full spectrum.
    """
    from scipy.ndimage import median_filter

    parts = []
    for stretch, keep in row_chunks(-(-len(spectra.mel) // 2), LASTING_ROWS):
        mel = spectra.mel[2 * stretch.start : 2 * stretch.stop]
        mel = np.concatenate([mel, mel[-1:]]) if len(mel) % 2 else mel
        pairs = mel.reshape(-1, 2, mel.shape[1]).mean(axis=1)
        level = np.sqrt(np.maximum(pairs, 0))
        lasting = np.stack([median_filter(band, LASTING_ROWS) for band in np.ascontiguousarray(level.T)], axis=1)
        share = np.square(lasting) / np.maximum(np.square(lasting) + np.square(_median_across(level)), 1e-20)
        folded = [
            np.add.reduceat(power, (0, *mel_edges()), axis=1)[keep] for power in (pairs * share, pairs * (1 - share))
        ]
        parts.append(np.sqrt(np.stack(folded)))
    harmonic, percussive = np.concatenate(parts, axis=1).astype(np.float32)
    return harmonic, percussive


def _median_across(level: np.ndarray) -> np.ndarray:
    """Return the median over neighbouring bands, each with as many on either side as there are up to four."""
    reach = BROAD_BANDS // 2
    padded = np.pad(level, ((0, 0), (reach, reach)), mode="reflect")
    windows = np.stack([padded[:, shift : shift + level.shape[1]] for shift in range(BROAD_BANDS)])
    return np.partition(windows, reach, axis=0)[reach]


def chroma_curves(spectra: Spectra) -> np.ndarray:
    """Return how strongly each pitch class sounds from C, float32 [ceil(t / 4), 12], 1 at the strongest of each moment.

    Moments far below the song's level give 0.
    """
    both = np.maximum(spectra.chroma[:, :12] + spectra.chroma[:, 12:], 0)
    level = np.sqrt(both)
    top = level.max(axis=1, keepdims=True)
    floor = 0.02 * np.percentile(top, 95) if len(top) else 0.0
    curves: np.ndarray = np.where(top > floor, level / np.maximum(top, 1e-12), 0.0)
    return curves.astype(np.float32)


def find_key(spectra: Spectra) -> str:
    """Return the key as ``A minor``, or an empty text if none is clear (correlation with key profiles)."""
    profile = chroma_curves(spectra).mean(axis=0)
    if profile.std() < 1e-6:
        return ""
    found = [
        (float(np.corrcoef(np.roll(degrees, root), profile)[0, 1]), f"{PITCHES[root]} {name}")
        for degrees, name in ((MAJOR, "major"), (MINOR, "minor"))
        for root in range(12)
    ]
    clarity, key = max(found)
    return key if clarity >= CLEAR_KEY else ""
