"""Which level is the beat and which beat is the "one": every reading of a song weighed by all evidence.

The search (`bars`) finds the path with the best score, moment by moment. A song can be counted in other ways along the
same path: at half or twice the tempo, in threes instead of fours, with the bar begun on another beat. Each such `Reading` is weighed
over the whole song by `evidence`: the network's activations at the beats it counts and at those it leaves out, how common its tempo and
metre are, and whether harmony, bass, kick, snare and the song's parts change where it has its "ones". The weights of the evidence
are those of a conditional logit (McFadden 1974), fitted by `training/ear/weigh.py`; so the share of a reading is a probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reactive.audio.downbeat_phase import change_strengths
from reactive.audio.onset import Onsets
from reactive.audio.rhythm import MIN_BEATS, Rhythm, snap_to_onsets, typical_tempo
from reactive.audio.spectrum import FRAMES_PER_SECOND, Spectra
from reactive.audio.structure import features_between

# tempi that a reading may have, beats a minute
SLOWEST, FASTEST = 40.0, 260.0
# songs with fewer bars than these, or with bars of many sizes, are not weighed
MIN_BARS, STEADY = 6, 0.85
SIZES = (4, 3, 2, 5, 7)
# log odds are clipped to these, as in the search
MAX_ODDS = 3.5
# how near to a beat an activation counts, in rows of the spectrum
NEAR_ROWS = 3
USUAL_TEMPO = 118.0
# up to this tempo a short song, which can't be weighed, is counted twice as fast where the beats between are as likely, within
# these log odds
FASTEST_SHORT, NEARLY = 160.0, 0.5
# least probability of a level that replaces the one that was found; on 475 excerpts as good as 0.5 to 0.7, and it changes less
TO_CHANGE = 0.75
# least activation of a peak that a reading should explain, and how near one of its beats is then, in seconds
LEAST_PEAK, NEAR_SECONDS = 0.1, 0.07
# a third of the tempo, or three times it, is named from this share on
CLEAR_SHARE = 0.05
EVIDENCE = (
    "beats",
    "ones",
    "tempo",
    "slow",
    "fast",
    "threes",
    "twos",
    "odd",
    "chords",
    "bass",
    "kick",
    "snare",
    "backbeat",
    "parts",
    "found",
    "found one",
)
WEIGHTS: Mapping[str, float] = {
    "beats": 2.77,
    "ones": 1.79,
    "tempo": -0.85,
    "slow": -2.07,
    "fast": -2.34,
    "threes": -0.44,
    "twos": -0.95,
    "odd": -3.90,
    "chords": 1.88,
    "bass": 1.12,
    "kick": -0.08,
    "snare": 0.11,
    "backbeat": 1.05,
    "parts": -0.05,
    "found": -0.62,
    "found one": 0.79,
}


@dataclass(frozen=True)
class Reading:
    """A way to count a song.

    Attributes
    ----------
    beats
        Times in seconds.
    first, size
        Index of the first "one" and beats of a bar.
    level
        Tempo as a multiple of the one that was found: 1/2, 2, 1/3, ...
    found, found_one
        Whether its level is the one that was found, and its bars too.
    """

    beats: np.ndarray
    first: int
    size: int
    level: float
    found: bool
    found_one: bool


@dataclass(frozen=True)
class Doubt:
    """How sure hearing is of a song's level and of its "one", and what else they may be.

    Attributes
    ----------
    level, one
        In [0, 1].
    other, option
        The second best, in words and as an option.
    further, further_option
        If that is another level, the likeliest other metre or "one", and the other way round.
    """

    level: float
    one: float
    other: str
    option: str
    further: str = ""
    further_option: str = ""


SURE = Doubt(1.0, 1.0, "", "")


def choose_reading(
    rhythm: Rhythm, heard: Mapping[str, np.ndarray], onsets: Onsets, spectra: Spectra
) -> tuple[Rhythm, Doubt]:
    """Return the most likely reading of a song, and how certain it is.

    Parameters
    ----------
    rhythm
        As found by the search.
    heard
        Activations of the network.
    onsets
        Onsets of the whole spectrum; added beats are placed on them.
    spectra
        The song's spectra.
    """
    every = readings(rhythm, onsets)
    if len(every) < 2:
        return _doubled(rhythm, heard, onsets), SURE
    table = evidence(every, heard, spectra)
    score = table @ np.array([WEIGHTS[name] for name in EVIDENCE])
    share = np.exp(score - score.max())
    share /= share.sum()
    now = next(number for number, reading in enumerate(every) if reading.found_one)
    best = likeliest(share, level_numbers(every), now)
    doubt = _doubt(every, share, best)
    if best == now:
        return rhythm, doubt
    return apply_reading(rhythm, every[best]), doubt


def level_numbers(every: Sequence[Reading]) -> np.ndarray:
    """Return a number for each reading, the same for all ways to count the bars of the same beats, int64 [readings]."""
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(id(reading.beats), len(numbers)) for reading in every])


def likeliest(share: np.ndarray, levels: np.ndarray, found: int) -> int:
    """Return the reading to choose: the likeliest level by the sum of its readings, and the likeliest bars of that level.

    Parameters
    ----------
    share
        Probability of each reading.
    levels
        As from `level_numbers`.
    found
        The reading that was found first; its level is kept where no other is clearly likelier.
    """
    sums = np.bincount(levels, weights=share)
    level = int(sums.argmax())
    level = level if sums[level] > TO_CHANGE else int(levels[found])
    return int(np.where(levels == level, share, -1.0).argmax())


def _doubled(rhythm: Rhythm, heard: Mapping[str, np.ndarray], onsets: Onsets) -> Rhythm:
    """Return a short song's rhythm at twice its tempo where the network hears as clear beats half-way between its beats."""
    beats = rhythm.beats
    if not MIN_BEATS <= len(beats) < 8 * MIN_BEATS or 2 * rhythm.tempo > FASTEST_SHORT:
        return rhythm
    halves = _odds(_near(heard["beat"], (beats[1:] + beats[:-1]) / 2))
    if halves.mean() < max(0.0, float(_odds(_near(heard["beat"], beats)).mean()) - NEARLY):
        return rhythm
    lattice = np.interp(np.arange(2 * len(beats) - 1) / 2, np.arange(len(beats)), beats)
    lattice[1::2] = snap_to_onsets(lattice[1::2], onsets)
    first, size = 2 * int(np.searchsorted(beats, rhythm.downbeats[0])), int(rhythm.beats_per_bar[0])
    return apply_reading(rhythm, Reading(lattice, first, size, 2.0, False, False))


def apply_reading(rhythm: Rhythm, reading: Reading) -> Rhythm:
    """Return the rhythm as a reading counts it."""
    opens = np.arange(reading.first % reading.size, len(reading.beats), reading.size)
    sizes = np.diff(opens, append=opens[-1] + reading.size) if len(opens) else opens
    return replace(
        rhythm,
        tempo=typical_tempo(reading.beats),
        beats=reading.beats,
        downbeats=reading.beats[opens],
        beats_per_bar=sizes.astype(np.int64),
    )


def readings(rhythm: Rhythm, onsets: Onsets) -> list[Reading]:
    """Return the ways to count a song along the beats that were found; none if its bars are few or of many sizes."""
    beats, sizes = rhythm.beats, rhythm.beats_per_bar
    if len(sizes) < MIN_BARS or len(beats) < 8 * MIN_BEATS:
        return []
    size = int(np.bincount(sizes).argmax())
    if (sizes[:-1] == size).mean() < STEADY:
        return []
    first = int(np.searchsorted(beats, rhythm.downbeats[0]))
    found: list[Reading] = []
    for count in SIZES:
        # only songs with bars of one size get here: else each change would need a new count
        for one in range(count):
            place = (first + one) % count
            same = count == size and one == 0
            found.append(Reading(beats, place, count, 1.0, True, same))
    for level, lattice, counts in _other_levels(beats, onsets):
        if SLOWEST <= typical_tempo(lattice) <= FASTEST:
            for count in counts:
                found += [Reading(lattice, one, count, level, False, False) for one in range(count)]
    return found


def _other_levels(beats: np.ndarray, onsets: Onsets) -> list[tuple[float, np.ndarray, tuple[int, ...]]]:
    """Return other levels: their tempo against the one found, their beats, and the sizes of bars they are counted in."""
    levels: list[tuple[float, np.ndarray, tuple[int, ...]]] = []
    for step in (2, 3):
        levels += [(1 / step, beats[shift::step], (4, 3, 2)) for shift in range(step)]
    for step in (2, 3):
        lattice = np.interp(np.arange(step * (len(beats) - 1) + 1) / step, np.arange(len(beats)), beats)
        between = np.arange(len(lattice)) % step > 0
        lattice[between] = snap_to_onsets(lattice[between], onsets)
        levels.append((float(step), lattice, (4, 3)))
    return levels


def _fit(beats: np.ndarray, curve: np.ndarray, peaks: np.ndarray, count: int) -> float:
    """Return the log likelihood of the network's activation of beats if `beats` are the beats, for each of `count` beats.

    Beats should have a high activation, and every peak should be near one; so a reading of any multiple of the tempo can be compared.
    """
    at = (2 * peaks + 0.5) / FRAMES_PER_SECOND
    inside = (at > beats[0] - NEAR_SECONDS) & (at < beats[-1] + NEAR_SECONDS)
    far = np.abs(at - beats[_nearest(at, beats)]) > NEAR_SECONDS
    unexplained = _log_share(-_odds(curve[peaks[inside & far]])).sum()
    return float(_log_share(_odds(_near(curve, beats))).sum() + unexplained) / count


def evidence(every: Sequence[Reading], heard: Mapping[str, np.ndarray], spectra: Spectra) -> np.ndarray:
    """Return the evidence for each reading, float64 [readings, evidence]; columns as in `EVIDENCE`."""
    from scipy.signal import find_peaks

    curve, count = heard["beat"], len(every[0].beats)
    peaks = find_peaks(curve, height=LEAST_PEAK, distance=NEAR_ROWS)[0]
    lattices = {id(reading.beats): reading.beats for reading in every}
    at = {key: _sampled(beats, heard, spectra) for key, beats in lattices.items()}
    fits = {key: _fit(beats, curve, peaks, count) for key, beats in lattices.items()}
    rows = []
    for reading in every:
        seen = at[id(reading.beats)]
        opens = np.arange(len(reading.beats)) % reading.size == reading.first % reading.size
        tempo = typical_tempo(reading.beats)
        octaves = np.log2(tempo / USUAL_TEMPO)
        place = (np.arange(len(reading.beats)) - reading.first) % reading.size
        rows.append(
            [
                fits[id(reading.beats)],
                float(np.where(opens, _log_share(seen["one"]), _log_share(-seen["one"])).mean()),
                octaves**2,
                float(max(np.log2(70 / tempo), 0.0)),
                float(max(np.log2(tempo / 185), 0.0)),
                float(reading.size == 3),
                float(reading.size == 2),
                float(reading.size in (5, 7)),
                _contrast(seen["chords"], opens),
                _contrast(seen["bass"], opens),
                _contrast(seen["kick"], opens),
                -_contrast(seen["snare"], opens),
                _backbeat(seen, place, reading.size),
                _contrast(seen["parts"], opens),
                float(reading.found),
                float(reading.found_one),
            ]
        )
    return np.array(rows)


def _doubt(every: Sequence[Reading], share: np.ndarray, best: int) -> Doubt:
    chosen = every[best]
    same_level = np.array([reading.beats is chosen.beats for reading in every])
    level = float(share[same_level].sum())
    one = float(share[best] / max(share[same_level].sum(), 1e-12))
    named = []
    if not same_level.all():
        # the share of a level is that of all its bars and "ones" together
        shares = {id(reading.beats): 0.0 for reading in every}
        for reading, part in zip(every, share, strict=True):
            shares[id(reading.beats)] += float(part)
        others = [reading for reading in every if reading.beats is not chosen.beats]
        # people count at half or twice a tempo far more often than at a third of it
        usual = [r for r in others if r.level in (0.5, 2.0) or shares[id(r.beats)] > CLEAR_SHARE] or others
        likeliest = max(usual, key=lambda reading: shares[id(reading.beats)])
        named.append((1 - level, _other_level(chosen, likeliest)))
    rivals = np.where(same_level, share, -1.0)
    rivals[best] = -1.0
    if rivals.max() >= 0:
        named.append((level * (1 - one), _other_bar(chosen, every[int(rivals.argmax())])))
    texts = [text for _, text in sorted(named, key=lambda item: -item[0])]
    (other, option), (further, further_option) = (texts + 2 * [("", "")])[:2]
    return Doubt(level, one, other, option, further, further_option)


def _other_level(chosen: Reading, other: Reading) -> tuple[str, str]:
    """Return another level in words and as an option."""
    tempo = typical_tempo(other.beats)
    ratio = tempo / typical_tempo(chosen.beats)
    option = "--half" if abs(ratio - 0.5) < 0.05 else "--double" if abs(ratio - 2) < 0.1 else f"--bpm {tempo:.1f}"
    return f"or {tempo:.0f} bpm: {option}", option


def _other_bar(chosen: Reading, other: Reading) -> tuple[str, str]:
    """Return another metre or another "one" in words and as an option."""
    if other.size != chosen.size:
        metre = "6/8" if other.size == 2 else f"{other.size}/4"
        return f"or in {metre}: --meter {metre}", f"--meter {metre}"
    number = other.first % other.size + 1
    return f'or the "one" on beat {number}: --downbeat {number}', f"--downbeat {number}"


def _sampled(beats: np.ndarray, heard: Mapping[str, np.ndarray], spectra: Spectra) -> dict[str, np.ndarray]:
    """Return at each beat: log odds of a "one", strength of drums, how much chords, bass and the whole song change there."""
    edges = np.append(beats, beats[-1] + np.median(np.diff(beats)))
    chroma = np.sqrt(np.maximum(spectra.chroma, 0))
    step = 4 / FRAMES_PER_SECOND
    return {
        "one": _odds(_near(heard["downbeat"], beats)),
        "kick": _near(heard["kick"], beats),
        "snare": _near(heard["snare"], beats),
        "chords": _turns(chroma[:, 12:], edges, step),
        "bass": _turns(chroma[:, :12], edges, step),
        "parts": change_strengths(features_between(spectra, edges)),
    }


def _turns(chroma: np.ndarray, edges: np.ndarray, step: float) -> np.ndarray:
    """Return how much pitch classes change at each beat, in [0, 1]: from the half second before to the one behind."""
    total = np.concatenate([np.zeros((1, chroma.shape[1])), np.cumsum(chroma, axis=0)])
    count = len(chroma)

    def mean(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        low, high = (np.clip(np.round(times / step).astype(int), 0, count) for times in (start, stop))
        value = (total[high] - total[low]) / np.maximum(high - low, 1)[:, None]
        scaled: np.ndarray = value / np.maximum(np.linalg.norm(value, axis=1, keepdims=True), 1e-9)
        return scaled

    beats = edges[:-1]
    before, after = mean(beats - 0.55, beats - 0.05), mean(beats + 0.05, beats + 0.55)
    change: np.ndarray = np.clip(1 - np.sum(before * after, axis=1), 0, 1)
    return change


def _near(curve: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Return the highest value of an activation near each beat."""
    rows = (beats * FRAMES_PER_SECOND - 0.5) / 2
    reach = np.arange(-NEAR_ROWS, NEAR_ROWS + 1) / 2
    index = np.clip(np.round(rows[:, None] + reach), 0, len(curve) - 1).astype(int)
    highest: np.ndarray = curve[index].max(axis=1)
    return highest


def _nearest(times: np.ndarray, beats: np.ndarray) -> np.ndarray:
    after = np.clip(np.searchsorted(beats, times), 1, len(beats) - 1)
    nearest: np.ndarray = np.where(times - beats[after - 1] < beats[after] - times, after - 1, after)
    return nearest


def _odds(chance: np.ndarray) -> np.ndarray:
    odds: np.ndarray = np.log(np.maximum(chance, 1e-4) / np.maximum(1 - chance, 1e-4))
    return np.clip(odds, -MAX_ODDS, MAX_ODDS)


def _log_share(odds: np.ndarray) -> np.ndarray:
    share: np.ndarray = -np.logaddexp(0, -odds)
    return share


def _contrast(values: np.ndarray, opens: np.ndarray) -> float:
    """Return how much higher values are at "ones" than at other beats, in standard deviations of them all."""
    spread = float(values.std())
    if spread < 1e-9 or opens.all() or not opens.any():
        return 0.0
    return float((values[opens].mean() - values[~opens].mean()) / spread)


def _backbeat(seen: Mapping[str, np.ndarray], place: np.ndarray, size: int) -> float:
    """Return how much more of the snare, and less of the kick, is on beats two and four; 0 for other metres."""
    if size != 4:
        return 0.0
    back = place % 2 == 1
    return 0.5 * (_contrast(seen["snare"], back) - _contrast(seen["kick"], back))
