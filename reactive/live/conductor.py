"""Compute a preset's frames for a live input: phase, prompt, pace of the walk, lens.

The counterpart of `timeline` for music without a known future: expressions are evaluated on the sound so far; a phase ends
on a bar line, after its minimum of bars if the next one fits better, or after its maximum of bars; prompts change on beats
and bars by the phase's `switch`. The same stream and changes give the same frames.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from reactive.audio.rhythm import BEATS_PER_BAR
from reactive.diffusion.motion.camera import PATH
from reactive.errors import TimelineError
from reactive.live.online_analysis import LiveSignals
from reactive.preset.bounds import LIMITS
from reactive.preset.macros import macro_values
from reactive.preset.schema import Film, Phase, Preset, parse_length
from reactive.preset.vocabulary import MACRO
from reactive.timeline.clock import frame_length, frame_time, frames_in
from reactive.timeline.control_pictures import control_names
from reactive.timeline.controls import CONTROLS, apply_controls, check_control
from reactive.timeline.evaluate import ease, evaluate
from reactive.timeline.knobs import with_knobs
from reactive.timeline.loras import lora_names
from reactive.timeline.perform import MAX_CROSSFADE, Change, known_knobs, read_knobs
from reactive.timeline.placement import FEEDBACK, NO_GUIDE, NO_SOURCE
from reactive.timeline.pools import Pools
from reactive.timeline.schedule import DEFAULT_OVER, MAX_FEEDBACK_BARS, MIN_HIT_SECONDS, MIN_HOLD_BEATS, blend_weights
from reactive.timeline.styles import style_names
from reactive.timeline.timeline import COLOURS, NO_PALETTE, derive, expressions
from reactive.timeline.walk import MAX_SPEED

# difference in fit, averaged over the last seconds, at which the next phase starts
MIN_GAIN, FIT_SECONDS = 0.05, 4.0
# after this many seconds of silence a walk is shown instead of feedback
SILENCE_SECONDS = 2.0


def left_out(preset: Preset) -> tuple[str, ...]:
    """Return descriptions of a preset's features that a live input does not support.

    Examples
    --------
    >>> from reactive.preset.library import get_preset
    >>> left_out(get_preset("loop-destroy"))
    ('grounds under the pictures',)
    """
    overlay = preset.overlay
    uses = {
        "grounds under the pictures": preset.ground is not None or any(phase.ground for phase in preset.phase),
        "pictures that steer the style": bool(style_names(preset)),
        "pictures whose shapes are kept": bool(control_names(preset)),
        "LoRAs": bool(lora_names(preset)),
        "pinned prompts": bool(preset.pin),
        "prompts from the song's words": "lyrics" in preset.model_fields_set,
        "titles and logo": bool(overlay.title or overlay.logo or overlay.lyrics),
        "cuts of films to the music": any(
            film != Film() for film in (preset.film, *(p.film for p in preset.phase)) if film
        ),
    }
    return tuple(what for what, used in uses.items() if used)


@dataclass(frozen=True)
class Arriving:
    """The first frame of a shot that blends in over the previous one; fields as in `LiveFrame`."""

    columns: dict[str, float]
    prompts: tuple[str, str]
    negatives: tuple[str, str]
    slerp: bool
    seed: int


@dataclass(frozen=True)
class LiveFrame:
    """The values of a frame.

    Attributes
    ----------
    frame
        Its number since the start of the stream.
    columns
        One value of each of the timeline's columns; camera columns are running sums.
    prompts
        The two blended texts, and the likely next one.
    negatives
        Their negatives.
    palettes
        The palettes to which columns refer by index.
    seed
        The seed of the noise.
    shot
        A number that changes when feedback starts again.
    fresh, rate, colour
        The preset's feedback: share of new noise, pictures a second, and strength of the colour correction.
    black, hold
        Whether it is black, or repeats the previous picture.
    arriving
        The next shot during a dissolve or morph. A cut can't be predicted, so a join starts on it.
    """

    frame: int
    seconds: Fraction
    columns: dict[str, float]
    prompts: tuple[str, str, str]
    negatives: tuple[str, str, str]
    slerp: bool
    seed: int
    shot: int
    phase: int
    fresh: float
    rate: float
    colour: float = 0.0
    black: bool = False
    hold: bool = False
    palettes: tuple[tuple[str, ...], ...] = ()
    arriving: Arriving | None = None


@dataclass
class _Blend:
    """A change of prompt in progress: its indices in the pools, and the weights of its frames."""

    before: int
    after: int
    weights: np.ndarray = field(default_factory=lambda: np.zeros(0))
    done: int = 0
    slerp: bool = False

    @property
    def weight(self) -> float:
        return float(self.weights[self.done]) if self.done < len(self.weights) else 1.0


@dataclass(frozen=True)
class _Look:
    """A shot's state at a frame: indices of its prompts in the pools, their mix, seed, shot, source and strength."""

    before: int
    after: int
    weight: float
    slerp: bool
    seed: int
    shot: int
    source: int
    strength: float
    guide: int


@dataclass
class _Join:
    """A dissolve or morph in progress: the old shot's last state, and the weights of the new one."""

    kind: str
    leaving: _Look
    weights: np.ndarray
    done: int = 0


class Conductor:
    """Computes one frame after the other.

    Parameters
    ----------
    presets
        By name; the first one is played at the start.
    signals
        The analysed sound.
    seed
        Determines prompt order, noise and shake.
    photos, videos
        Numbers of photographs and videos.
    macros
        Values of the preset's macros, by name.
    """

    def __init__(
        self,
        presets: Mapping[str, Preset],
        signals: LiveSignals,
        *,
        seed: int = 0,
        photos: int = 0,
        videos: int = 0,
        macros: Mapping[str, float] | None = None,
    ) -> None:
        self.presets = dict(presets)
        self.signals = signals
        self.seed = seed
        self.photos, self.videos = photos, videos
        self.macros = dict(macros or {})
        self._given = dict(self.macros)
        self.controls: dict[str, float] = {}
        self.replaced_texts: dict[str, str] = {}
        self.switches = {"freeze": False, "hold": False, "black": False}
        self.walk, self.shot, self.round, self.phase = 0.0, 0, 0, 0
        self._camera = dict.fromkeys(PATH, 0.0)
        self._sources = self._seeds = self._guides = 0
        self._look: _Look | None = None
        self._join: _Join | None = None
        self._last_hit = -math.inf
        self._pending: int | None = None
        # changes that wait for the next beat or bar, and how many have been applied so far
        self.waiting: list[tuple[Change, str]] = []
        self.waited = 0
        self._random = np.random.Generator(np.random.Philox(key=[seed % 2**63, 7]))
        self._load(next(iter(self.presets)))
        self._begin(0, is_cut=True)

    @property
    def fps(self) -> Fraction:
        """Frames a second."""
        return self.signals.fps

    def _load(self, name: str) -> None:
        self.name = name
        # a join has indices of the old preset's pools
        self._look = self._join = None
        self.preset = self.presets[name]
        self._pools = Pools(self.preset, self.seed)
        self._play()
        self._blend = _Blend(0, self._pools.next(0))
        self._blend.before = self._blend.after
        self._next = self._pools.next(0)

    def _play(self) -> None:
        """Turn the preset as controls and knobs stand."""
        self._played = with_knobs(apply_controls(self.preset, self.controls), self.knobs())

    # -- changes by people -------------------------------------------------------------------------------------------
    def change(self, change: Change) -> None:
        """Apply a change from the next frame on. Its time is ignored.

        Raises
        ------
        ReactiveError
            If the change is not possible.
        """
        kind, name, value = change.kind, change.name, change.value
        if kind == "control" and name.startswith(MACRO):
            short = name.removeprefix(MACRO)
            self.macros[short] = macro_values(self.preset, {short: value})[short]
            self._play()
        elif kind == "control":
            self.controls[name] = check_control(name, value)
            self._play()
        elif kind == "prompt":
            first = next((old for old, new in self.replaced_texts.items() if new == name), name)
            self.replaced_texts = dict(list({**self.replaced_texts, first: change.text}.items())[-500:])
        elif kind == "phase":
            self._pending = self._checked_phase(value)
        elif kind == "preset":
            self._cross(self._checked_preset(name), min(max(value, 0.0), MAX_CROSSFADE))
        elif kind == "knobs":
            for knob, place in known_knobs(
                read_knobs(change.text), {macro.name for macro in self.preset.macros}
            ).items():
                (self.macros if knob.startswith(MACRO) else self.controls)[knob.removeprefix(MACRO)] = place
            self._play()
        elif kind == "reset":
            self.macros, self.controls, self.replaced_texts = dict(self._given), {}, {}
            self.switches = dict.fromkeys(self.switches, False)
            self._play()
        elif kind in self.switches:
            self.switches[kind] = bool(value)
        else:
            raise TimelineError(f'"{kind[:40]}" is not a live change', remedy="reload the page")

    def change_on(self, change: Change, unit: str) -> None:
        """Apply a change on the next beat or bar (``unit``); one of the same kind that waits already is replaced.

        A switch that waits and is pressed again is no longer switched.

        Raises
        ------
        ReactiveError
            If the change is not possible.
        """
        if change.kind == "phase":
            self._checked_phase(change.value)
        elif change.kind == "preset":
            self._checked_preset(change.name)
        before = len(self.waiting)
        self.waiting = [(other, of) for other, of in self.waiting if other.kind != change.kind]
        if len(self.waiting) == before or change.kind not in self.switches:
            self.waiting.append((change, unit))

    def _apply_waiting(self, *, on_beat: bool, on_bar: bool) -> None:
        due = [change for change, unit in self.waiting if on_bar or (on_beat and unit == "beat")]
        self.waiting = [] if on_bar else [(change, unit) for change, unit in self.waiting if change not in due]
        self.waited += len(due)
        for change in due:
            # a preset that has come meanwhile may have fewer phases
            with contextlib.suppress(TimelineError):
                self.change(change)

    def _checked_phase(self, value: float) -> int:
        if not 0 <= round(value) < len(self.preset.phase):
            count = len(self.preset.phase)
            raise TimelineError(f"there is no phase {round(value)}", remedy=f"there are {count}, counted from 0")
        return round(value)

    def _checked_preset(self, name: str) -> str:
        if name not in self.presets:
            raise TimelineError(f'the preset "{name}" is not loaded', remedy="load it first")
        return name

    def reload(self, name: str, preset: Preset) -> None:
        """Replace a preset by a new version; the current phase continues if the new one has a phase of that number."""
        self.presets[name] = preset
        if name == self.name:
            self._load(name)
            self._begin(min(self.phase, len(preset.phase) - 1), is_cut=False)

    def knobs(self) -> dict[str, float]:
        """Return the values of the preset's own macros, without those of other presets."""
        known = {macro.name for macro in self.preset.macros}
        return macro_values(self.preset, {name: value for name, value in self.macros.items() if name in known})

    # -- frame by frame ------------------------------------------------------------------------------------------------
    def step(self, frame: int) -> LiveFrame:
        """Return the frame whose sound has just been analysed."""
        beats, bars = self.signals.beats, self.signals.bars
        on_bar, on_beat = self._crossed(bars, beats)
        self._apply_waiting(on_beat=on_beat, on_bar=on_bar)
        phase = self._played.phase[self.phase]
        scope = self.signals.scope({f"{MACRO}{name}": value for name, value in self.knobs().items()})
        if self._pending is not None:
            self._begin(self._pending, is_cut=True)
            self._pending = None
        elif on_bar and self._over(phase, bars, scope):
            self._begin((self.phase + 1) % len(self._played.phase), is_cut=phase.switch.how == "cut")
        elif not self.switches["freeze"]:
            self._switch(frame, phase, beats, scope, on_beat, on_bar)
        phase = self._played.phase[self.phase]
        silent = frame_length(self.fps) * self.signals.silent_frames > SILENCE_SECONDS
        values = {name: float(evaluate(text, scope)[-1]) for name, text in expressions(self._played, phase).items()}
        row = self._row(frame, phase, values, silent)
        if not self.switches["freeze"]:
            self._blend.done += 1
            if self._join is not None:
                self._join.done += 1
        self._set_progress(phase, bars)
        return row

    def _crossed(self, bars: float, beats: float) -> tuple[bool, bool]:
        """Return whether a bar and a beat start with this frame; the regular pulse of music without a beat counts too."""
        before = getattr(self, "_place", (bars, beats))
        self._place = (bars, beats)
        return math.floor(bars) > math.floor(before[0]), math.floor(beats) > math.floor(before[1])

    def _over(self, phase: Phase, bars: float, scope: object) -> bool:
        """Return whether the phase ends on this bar line."""
        lasted = round(bars - self._began_bars)
        if lasted < phase.bars[0] or len(self._played.phase) < 2:
            return False
        if lasted >= phase.bars[1]:
            return True
        window = int(frames_in(FIT_SECONDS, self.fps))
        following = self._played.phase[(self.phase + 1) % len(self._played.phase)]
        here, there = (float(evaluate(p.fits, scope)[-window:].mean()) for p in (phase, following))  # type: ignore[arg-type]
        return there > here + MIN_GAIN

    def _begin(self, number: int, *, is_cut: bool) -> None:
        """Start a phase with its first prompt."""
        if number <= self.phase and self.signals.frames:
            self.round += 1
        self.phase = number
        self._began_beats, self._began_bars = self.signals.beats, self.signals.bars
        self._began_frame = self.signals.frames
        self._switched_beats = self._restarted = self.signals.beats
        self._sources += 1
        self._guides += self._played.phase[number].mode == "feedback"
        self.signals.conductor_values["section"] = 1.0
        phase = self._played.phase[number]
        self._change_to(self._pools.next(number, self._height(phase)), phase, is_cut=is_cut or phase.mode == "feedback")
        self._next = self._pools.next(number, self._height(phase))

    def _switch(self, frame: int, phase: Phase, beats: float, scope: object, on_beat: bool, on_bar: bool) -> None:
        """Change the prompt if it is time."""
        restart = phase.mode == "feedback" and beats - self._restarted >= MAX_FEEDBACK_BARS * BEATS_PER_BAR - 0.02
        accent = on_beat and float(evaluate(phase.switch.accent, scope)[-1]) > 0.5  # type: ignore[arg-type]
        every = parse_length(phase.switch.every)
        length = every.count * (BEATS_PER_BAR if every.unit == "bar" else 1)
        held = beats - self._switched_beats
        # counted from the phase's start, so that changes stay on the grid
        due = math.floor((beats - self._began_beats + 0.02) / length) > math.floor(
            (self._switched_beats - self._began_beats + 0.02) / length
        )
        if not (due or accent or (restart and on_bar)):
            return
        heard = self.signals.now is not None and self.signals.now.position.heard
        is_cut = (phase.switch.how == "cut" and heard) or accent or phase.mode == "feedback"
        if not phase.switch.strobe and held < MIN_HOLD_BEATS - 0.25:
            return
        if is_cut and float(frame_time(frame, self.fps)) - self._last_hit < MIN_HIT_SECONDS:
            return
        self._switched_beats = beats
        if restart:
            self._restarted = beats
        following, self._next = self._next, self._pools.next(self.phase, self._height(phase))
        self._change_to(following, phase, is_cut=is_cut)

    def _height(self, phase: Phase) -> float:
        if phase.order != "ladder":
            return 0.0
        scope = self.signals.scope({f"{MACRO}{name}": value for name, value in self.knobs().items()})
        return float(evaluate(phase.climb, scope)[-1])

    def _change_to(self, prompt: int, phase: Phase, *, is_cut: bool) -> None:
        """Change to another prompt, at once or over some beats."""
        if is_cut:
            self._join = self._joined(phase)
            self._blend = _Blend(prompt, prompt)
            self._last_hit = float(frame_time(self.signals.frames, self.fps))
            self.shot += 1
            self._seeds += not phase.switch.match
            return
        over = parse_length(phase.switch.over or DEFAULT_OVER[phase.switch.how])
        beats = max(over.count * (BEATS_PER_BAR if over.unit == "bar" else 1), 1.0)
        count = max(1, self._frames_of(beats))
        self._blend = _Blend(self._main(), prompt, blend_weights(count), slerp=phase.switch.how == "slerp")

    def _joined(self, phase: Phase) -> _Join | None:
        """Return the join that starts with a phase's cut; None if it has none or no shot was shown yet."""
        if phase.switch.join == "cut" or self._look is None:
            return None
        over = parse_length(phase.switch.join_over)
        count = self._frames_of(over.count * (BEATS_PER_BAR if over.unit == "bar" else 1))
        weights = ease((np.arange(count) + 1) / (count + 1))
        # `through` needs a ground, which a live input does not have
        kind = "morph" if phase.switch.join == "through" else phase.switch.join
        return _Join(kind, self._look, weights) if count else None

    def _frames_of(self, beats: float) -> int:
        """Return the duration of beats in frames at the current tempo."""
        tempo = self.signals.now.position.tempo if self.signals.now else 120.0
        return round(frames_in(beats * 60 / tempo, self.fps))

    def _main(self) -> int:
        return self._blend.after if self._blend.weight >= 0.5 else self._blend.before

    def _cross(self, name: str, seconds: float) -> None:
        """Change to another preset: its prompts and moves start, and the prompt cross-fades."""
        text = self._text(self._main())
        negative, palette = self._pools.negatives[self._main()], self._pools.palettes[self._main()]
        self._load(name)
        self.phase = 0
        self._began_beats, self._began_bars = self.signals.beats, self.signals.bars
        self._began_frame, self._switched_beats, self._restarted = (
            self.signals.frames,
            self.signals.beats,
            self.signals.beats,
        )
        count = int(frames_in(seconds, self.fps))
        if count:
            self._pools.prompts.append(text)
            self._pools.negatives.append(negative)
            self._pools.palettes.append(palette)
            self._blend = _Blend(len(self._pools.prompts) - 1, self._blend.after, blend_weights(count))

    def _text(self, number: int) -> str:
        text = self._pools.prompts[number]
        return self.replaced_texts.get(text, text)

    def _row(self, frame: int, phase: Phase, values: dict[str, float], silent: bool) -> LiveFrame:
        step = frame_length(self.fps)
        if not (self.switches["freeze"] or self.switches["hold"]):
            self.walk += min(max(values["speed"], 0.0), MAX_SPEED) * step
            zoom = min(max(values["camera_zoom"], LIMITS["camera.zoom"][0]), LIMITS["camera.zoom"][1])
            self._camera["camera_zoom"] += math.log(zoom) * step
            for name in PATH[1:]:
                self._camera[name] += values[name] * step
        lens_shake, camera_shake = self._random.uniform(-1, 1, 2), self._random.uniform(-1, 1, 2)
        columns = {name: values[name] for name in values if name.startswith("lens_") and name != "lens_shake"}
        for name in ("zoom", "tilt", "turn"):
            low, high = LIMITS[f"lens.{name}"]
            columns[f"lens_{name}"] = min(max(columns[f"lens_{name}"], low), high)
        columns["lens_x"] += values["lens_shake"] * lens_shake[0]
        columns["lens_y"] += values["lens_shake"] * lens_shake[1]
        columns |= self._camera
        columns["camera_x"] += values["camera_shake"] * camera_shake[0]
        columns["camera_y"] += values["camera_shake"] * camera_shake[1]
        palettes = [self._palette(phase, number) for number in (self._blend.before, self._blend.after)]
        for key, palette, number in zip(("palette_from", "palette_to"), palettes, range(2), strict=True):
            columns[key] = float(number if palette else NO_PALETTE)
        for name in COLOURS:
            columns[name] = min(max(values[name], LIMITS[name.replace("_", ".")][0]), LIMITS[name.replace("_", ".")][1])
        source = NO_SOURCE if silent and phase.mode == "feedback" else self._source(phase)
        columns["camera_flow"] = min(max(values["camera_flow"], 0.0), 1.0)
        guided = source == FEEDBACK and self.videos and columns["camera_flow"] > 0
        look = self._look = _Look(
            self._blend.before,
            self._blend.after,
            self._blend.weight,
            self._blend.slerp,
            self.noise_seed,
            self.shot,
            source,
            1.0 if source == NO_SOURCE else min(max(values["strength"], 0.0), 1.0),
            (self._guides - 1) % self.videos if guided else NO_GUIDE,
        )
        shown, join, arriving = look, self._join, None
        if join is not None and join.done < len(join.weights):
            shown = join.leaving
            columns[join.kind] = float(join.weights[join.done])
            pair, negative_pair = self._texts(look.before, look.after)
            arriving = Arriving(
                columns | _columns(look),
                (pair[0], pair[1]),
                (negative_pair[0], negative_pair[1]),
                look.slerp,
                look.seed,
            )
        texts, negatives = self._texts(shown.before, shown.after, self._next)
        return LiveFrame(
            frame,
            frame_time(frame, self.fps),
            columns | {"walk": self.walk} | _columns(shown),
            (texts[0], texts[1], texts[2]),
            (negatives[0], negatives[1], negatives[2]),
            shown.slerp,
            shown.seed,
            shown.shot,
            self.phase,
            self._played.feedback.fresh,
            self._played.feedback.rate,
            self._played.feedback.colour,
            self.switches["black"],
            self.switches["hold"],
            tuple(palettes),
            arriving,
        )

    def _texts(self, *numbers: int) -> tuple[list[str], list[str]]:
        """Return prompts and their negatives, by their indices in the pools."""
        return [self._text(number) for number in numbers], [self._pools.negatives[number] for number in numbers]

    def _palette(self, phase: Phase, number: int) -> tuple[str, ...]:
        """Return the palette of a prompt, or if it has none, of the phase."""
        return self._pools.palettes[number] or tuple((phase.colour or self._played.colour).palette)

    @property
    def phases_begun(self) -> int:
        """The number of phases started so far."""
        return self._sources

    @property
    def noise_seed(self) -> int:
        """The seed of the current shot's noise."""
        return derive(self.seed + int(self.controls.get("seed", CONTROLS["seed"].rest)), self._seeds)

    def _source(self, phase: Phase) -> int:
        """Return the number of this phase's photograph or video, NO_SOURCE or FEEDBACK."""
        if phase.mode == "feedback":
            return FEEDBACK
        still, moving = list(range(self.photos)), list(range(self.photos, self.photos + self.videos))
        pool = {"photo": still or moving, "video": moving or still}.get(phase.mode, [])
        if phase.source.use and pool:
            pool = [pool[(use - 1) % len(pool)] for use in phase.source.use]
        if not pool:
            return NO_SOURCE
        turn = self._sources - 1 + self._turns(phase)
        if phase.source.order == "shuffle":
            # a new order in each cycle, reproducible from the seed
            order = np.random.default_rng((self.seed, turn // len(pool))).permutation(len(pool))
            return pool[int(order[turn % len(pool)])]
        return pool[turn % len(pool)]

    def _turns(self, phase: Phase) -> int:
        """Return the number of changes of the source within the phase; a live input has no sections."""
        if phase.source.every in ("phase", "section"):
            return 0
        every = parse_length(phase.source.every)
        length = every.count * (BEATS_PER_BAR if every.unit == "bar" else 1)
        return int((self.signals.beats - self._began_beats + 0.02) / length)

    def _set_progress(self, phase: Phase, bars: float) -> None:
        """Set the progress of phase and cycle in the next frame's signals."""
        progress = min(max((bars - self._began_bars) / phase.bars[1], 0.0), 1.0)
        self.signals.conductor_values |= {
            "phase.progress": progress,
            "section.progress": progress,
            "loop.progress": (self.phase + progress) / len(self._played.phase),
        }


def _columns(look: _Look) -> dict[str, float]:
    """Return the columns of a shot's state."""
    return {"weight": look.weight, "source": float(look.source), "strength": look.strength, "guide": float(look.guide)}
