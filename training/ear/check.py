"""Compare the true beats of the excerpts with their sound: `python -m training.ear.check --work FOLDER [--each N]`.

For each kind: the median distance and the bias of beats from the steepest rise of the spectrum within 70 ms, for beats on
which a note starts. Rows are 11.6 ms apart; a parabola gives positions between them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from reactive.audio.spectrum import FRAMES_PER_SECOND
from training.ear.examples import POWERS, SHARES

NEAR_SECONDS = 0.07
# rises below this share of the excerpt's strong ones are ignored
CLEAR = 0.35
# rises appear half an analysis window early, in rows
EARLY_ROWS = 0.5


def distances(mel: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Return the distance in seconds from each beat to the nearest clear rise; beats without one are left out."""
    power = POWERS[mel].sum(axis=0)
    level = np.log1p(power * (1000 / max(float(np.percentile(power, 99.9)), 1e-12)))
    rise = np.maximum(level[2:] - level[:-2], 0).mean(axis=1)
    rise = np.concatenate([[0.0], rise, [0.0]])
    peaks = np.flatnonzero((rise[1:-1] > rise[:-2]) & (rise[1:-1] >= rise[2:])) + 1
    peaks = peaks[rise[peaks] > CLEAR * np.percentile(rise[peaks], 90)] if len(peaks) else peaks
    if not len(peaks) or not len(beats):
        return np.zeros(0)
    before, here, after = rise[peaks - 1], rise[peaks], rise[peaks + 1]
    shift = 0.5 * (before - after) / np.minimum(before - 2 * here + after, -1e-9)
    times = (peaks + np.clip(shift, -0.5, 0.5) + EARLY_ROWS) / FRAMES_PER_SECOND
    late = times[np.abs(beats[:, None] - times[None]).argmin(axis=1)] - beats
    near: np.ndarray = late[np.abs(late) < NEAR_SECONDS]
    return near


def main() -> None:
    """Print one line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--each", type=int, default=40, help="excerpts of each kind (default: 40)")
    options = parser.parse_args()
    for kind in SHARES:
        found, counted = [], 0
        for path in sorted(options.work.glob(f"{kind}-[0-9]*.npz"))[: options.each]:
            with np.load(path) as held:
                found.append(distances(held["mel"], held["beats"]))
                counted += len(held["beats"])
        late = np.concatenate(found) if found else np.zeros(0)
        if len(late):
            print(
                f"{kind:<12}{len(found):>4} excerpts, {counted:>6} beats, {len(late) / counted:.0%} with a rise within 70 ms: "
                f"median distance {1000 * np.median(np.abs(late)):.1f} ms, bias {1000 * np.median(late):+.1f} ms"
            )


if __name__ == "__main__":
    main()
