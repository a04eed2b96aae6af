"""The channels of a song by name, and their mix to two.

Conventions: sound is float32 [samples, channels]; a layout is a tuple of FFmpeg's channel names in the order of the columns
("FL" front left, "FC" front centre, "LFE" low frequencies, "BL" back left, "SL" side left, "BC" back centre ...).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Layout = tuple[str, ...]

MONO: Layout = ("FC",)
STEREO: Layout = ("FL", "FR")
# for files without a layout: the order that WAV and FLAC define for each number of channels
_USUAL: dict[int, Layout] = {
    1: MONO,
    2: STEREO,
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
_HALF = float(np.sqrt(0.5))
# ITU-R BS.775-4, table 2, and by its principle for other channels: shares of left and right
_SHARES: dict[str, tuple[float, float]] = {
    "FL": (1.0, 0.0),
    "FR": (0.0, 1.0),
    "DL": (1.0, 0.0),
    "DR": (0.0, 1.0),
    "WL": (1.0, 0.0),
    "WR": (0.0, 1.0),
    "FC": (_HALF, _HALF),
    "FLC": (1.0, 0.0),
    "FRC": (0.0, 1.0),
    "BL": (_HALF, 0.0),
    "BR": (0.0, _HALF),
    "SL": (_HALF, 0.0),
    "SR": (0.0, _HALF),
    "SDL": (_HALF, 0.0),
    "SDR": (0.0, _HALF),
    "BC": (0.5, 0.5),
    "LFE": (0.0, 0.0),
    "LFE2": (0.0, 0.0),
    "TFL": (_HALF, 0.0),
    "TFR": (0.0, _HALF),
    "TBL": (_HALF, 0.0),
    "TBR": (0.0, _HALF),
    "TSL": (_HALF, 0.0),
    "TSR": (0.0, _HALF),
    "TFC": (0.5, 0.5),
    "TBC": (0.5, 0.5),
    "TC": (0.5, 0.5),
    "BFL": (_HALF, 0.0),
    "BFR": (0.0, _HALF),
    "BFC": (0.5, 0.5),
    # first-order ambisonics: the pressure, and the axis from right to left
    "AMBI0": (_HALF, _HALF),
    "AMBI1": (0.5, -0.5),
    "AMBI2": (0.0, 0.0),
    "AMBI3": (0.0, 0.0),
}
_NAMES: dict[Layout, str] = {
    MONO: "mono",
    STEREO: "stereo",
    ("FL", "FR", "LFE"): "2.1",
    ("FL", "FR", "FC"): "3.0",
    ("FL", "FR", "FC", "LFE"): "3.1",
    ("FL", "FR", "FC", "BC"): "4.0",
    ("FL", "FR", "BL", "BR"): "quadraphonic sound",
}


def usual_layout(count: int) -> Layout:
    """Return the usual layout of a number of channels; more than eight only have numbers."""
    return _USUAL.get(count) or tuple(f"{number}" for number in range(count))


def layout_of(given: Any) -> Layout:
    """Return the layout of a PyAV `AudioLayout`: its own names, or the usual ones if it has none."""
    names = tuple(channel.name for channel in given.channels)
    known = len(names) == given.nb_channels and len(set(names)) == len(names) and all(name in _SHARES for name in names)
    return names if known else usual_layout(given.nb_channels)


def layout_name(layout: Layout) -> str:
    """Return the common name of a layout, for instance ``5.1``."""
    if layout in _NAMES:
        return _NAMES[layout]
    low = sum(name.startswith("LFE") for name in layout)
    known = all(name in _SHARES for name in layout)
    return f"{len(layout) - low}.{low}" if known else f"{len(layout)} channels"


def to_stereo(block: np.ndarray, layout: Layout, *, gain: float = 1.0) -> np.ndarray:
    """Return float32 [n, 2] from [n, channels]: mono on both sides, surround folded down by ITU-R BS.775.

    The low-frequency channel is left out. Mono and stereo stay as they are; `gain` is for the folded sound, see `Track`.
    """
    if len(layout) == 2:
        return block
    if len(layout) == 1:
        return np.repeat(block, 2, axis=1)
    return np.clip(block @ (fold_matrix(layout) * np.float32(gain)), -1.0, 1.0)


def fold_matrix(layout: Layout) -> np.ndarray:
    """Return the share of each channel in left and right, float32 [channels, 2]."""
    shares = [_SHARES.get(name, (0.5, 0.5)) for name in layout]
    if not any(name in ("FL", "FR", "DL", "DR") for name in layout):
        # without sides there is only the centre
        shares = [(1.0, 1.0) if name == "FC" else share for name, share in zip(layout, shares, strict=True)]
    return np.array(shares, np.float32)


def placed(block: np.ndarray, layout: Layout, target: Layout) -> np.ndarray:
    """Return a block, float32 [n, channels], in another layout: each channel at its place, mono on both sides.

    Channels without a place there are folded down first.
    """
    if layout == target:
        return block
    if target == MONO:
        return to_stereo(block, layout).mean(axis=1, keepdims=True)
    if layout == MONO or not set(layout) <= set(target):
        block, layout = to_stereo(block, layout), STEREO
    out = np.zeros((len(block), len(target)), np.float32)
    for column, name in enumerate(layout):
        # a target without left and right gets them in its first two channels
        out[:, target.index(name) if name in target else min(column, len(target) - 1)] = block[:, column]
    return out
