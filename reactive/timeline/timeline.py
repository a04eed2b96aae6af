"""The timeline: for every frame its prompt mix, walk, strength, camera, lens, source and seed, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.grid import Grid, grid_of
from reactive.audio.parts import boundaries, part_names
from reactive.preset.bounds import LIMITS
from reactive.preset.lyrics import Line
from reactive.preset.macros import macro_values
from reactive.preset.schema import Camera, Colour, Lens, Phase, Preset
from reactive.preset.vocabulary import MACRO
from reactive.timeline.clock import frame_count, frame_length, frame_time, frame_times, nearest_frame
from reactive.timeline.control_pictures import CONTROLS, control_expressions, control_names
from reactive.timeline.evaluate import Scope, ease, evaluate
from reactive.timeline.films import SONG_TIME, Footage, film_expressions, place_films
from reactive.timeline.framing import COVER, Framing
from reactive.timeline.grounds import NONE, SHOWN, Choose, Turns, ground_expressions, place_grounds
from reactive.timeline.insert import insert, line_insertions, pin_insertions
from reactive.timeline.knobs import pace_of, with_knobs
from reactive.timeline.loras import LORAS, lora_expressions, lora_names
from reactive.timeline.phases import PhaseSpan, lay_phases
from reactive.timeline.placement import FEEDBACK, NO_GUIDE, NO_SOURCE, place_joins, place_sources
from reactive.timeline.pools import Pools
from reactive.timeline.schedule import PromptSwitch, blend_weights, part_at, prompt_switch, schedule
from reactive.timeline.signals import frame_signals
from reactive.timeline.styles import STYLES, style_expressions, style_names
from reactive.timeline.walk import harmonics_for, walk_of

__all__ = [
    "CAMERA_ZOOM",
    "COLOURS",
    "CURVES",
    "FARTHEST",
    "FEEDBACK",
    "INTEGERS",
    "NO_PALETTE",
    "NO_SEED",
    "NO_SOURCE",
    "OPTIONAL",
    "Timeline",
    "build_timeline",
    "in_use",
]

# colour columns and their neutral values: the palette's strength, and the grading
COLOURS = {
    "colour_strength": 1.0,
    "colour_tint": 0.0,
    "colour_temperature": 0.0,
    "colour_saturation": 1.0,
    "colour_contrast": 1.0,
    "colour_brightness": 0.0,
}
NO_PALETTE = -1
# value of the column `seed_from` where the noise is that of `seed` alone
NO_SEED = -1
INTEGERS = (
    "phase",
    "loop",
    "shot",
    "source",
    "guide",
    "ground",
    "prompt_from",
    "prompt_to",
    "slerp",
    "seed",
    "seed_from",
    "palette_from",
    "palette_to",
)
CURVES = (
    "weight",
    "walk",
    "speed",
    "strength",
    "hit",
    "lens_zoom",
    "lens_rotate",
    "lens_x",
    "lens_y",
    "camera_zoom",
    "camera_rotate",
    "camera_x",
    "camera_y",
    "lens_tilt",
    "lens_turn",
    "camera_tilt",
    "camera_turn",
    "camera_flow",
    "dissolve",
    "morph",
    *COLOURS,
    *SHOWN,
    "film_time",
    "seed_weight",
    *STYLES,
    *CONTROLS,
    *LORAS,
)
# columns that a file leaves out if they have this value throughout
OPTIONAL = {
    "guide": NO_GUIDE,
    "lens_tilt": 0,
    "lens_turn": 0,
    "camera_tilt": 0,
    "camera_turn": 0,
    "camera_flow": 0,
    "dissolve": 0,
    "morph": 0,
    "ground": NONE,
    **{name: rest for name, (_, rest) in SHOWN.items()},
    "palette_from": NO_PALETTE,
    "palette_to": NO_PALETTE,
    **COLOURS,
    "film_time": SONG_TIME,
    "seed_from": NO_SEED,
    "seed_weight": 0,
    **dict.fromkeys((*STYLES, *CONTROLS, *LORAS), 0),
}
# largest rotation in depth, in degrees: beyond it a picture is seen almost edge-on
STEEPEST = 45.0
# limits of a camera's zoom a second
CAMERA_ZOOM = LIMITS["camera.zoom"]
# an edited timeline may jump: the zoom between two frames is limited to 10,000-fold (its logarithm)
FARTHEST = float(np.log(1e4))


@dataclass(frozen=True)
class Timeline:
    """What is decided for every frame.

    Attributes
    ----------
    song_sha256, samples, sample_rate
        The song it was made for.
    fps
        Frames a second.
    title
        The preset's title.
    seed
        The seed everything random was drawn from.
    harmonics
        Number of harmonics of the noise path (M in `diffusion/sampling/noise.py`).
    feedback_rate, feedback_fresh
        Fed-back pictures a second, and the share of new noise in each.
    prompts
        Every prompt that a column may name.
    phases
        The phases' names.
    photos
        Base names of the photographs that `source` numbers from 0 on.
    cuts
        Frames that start with a hard cut or a restart, rising.
    columns
        One array [frames] for each name in `INTEGERS` (int64) and `CURVES` (float64). `weight` is that of `prompt_to`, mixed
        straight, or along the arc where `slerp` is 1; lens: scale, degrees, picture widths, picture heights, degrees in
        depth; camera: the running sums of log scale, degrees, widths, heights and degrees in depth, so a move from one
        frame to another is a difference; `dissolve` and `morph` are the weight of the next shot; `guide` numbers the
        video, from 0 on, by whose motion times `camera_flow` a fed-back picture moves; `ground` numbers the ground as
        `source` does, then `grounds`, -1 for none, and `detail` and the columns ``ground_`` decide how it is shown;
        `film_time` is the second of the film that is shown, -1 for the song's own time; `seed_from` is the seed from which the
        noise is still turning to that of `seed`, by `seed_weight`, -1 for none;
        `palette_from` and `palette_to` number the palettes of prompts, -1 for none; `style_1` and the following are the weights
        of the reference pictures in `styles`, `control_1` and the following those of `controls`, `lora_1` and the following the
        strengths of `loras`.
    negatives
        The negative of each of `prompts`; empty if there are none.
    videos
        Base names of the videos, which `source` numbers after the photographs.
    feedback_colour
        How strongly feedback keeps to the palette of its prompts, 0 to 1.
    grounds
        Names of the pictures that `ground` numbers after photographs and videos: files beside the preset, or ``library:NAME``.
    file_sha256
        Hash of the bytes of the song's file; the song is recognised by either hash.
    palettes
        Colours ``#rrggbb`` that finished pictures are moved towards.
    styles
        Base names of the reference pictures, whose look the model takes on.
    controls
        What keeps shapes: kind and base name of the file, ``depth:depth.png``, or ``canny:`` for what is fed in or lies beneath.
    loras
        Base names of the LoRAs whose strength changes.
    folder
        The folder of the files in `grounds`, `styles`, `controls` and `loras`, if it is known; it is not stored in a timeline's file.
    framing
        How the photographs that are fed in fill the frame.
    """

    song_sha256: str
    samples: int
    sample_rate: int
    fps: Fraction
    title: str
    seed: int
    harmonics: int
    feedback_rate: Fraction
    feedback_fresh: float
    prompts: tuple[str, ...]
    phases: tuple[str, ...]
    photos: tuple[str, ...]
    cuts: tuple[int, ...]
    columns: dict[str, np.ndarray]
    negatives: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()
    feedback_colour: float = 0.0
    grounds: tuple[str, ...] = ()
    file_sha256: str = ""
    palettes: tuple[tuple[str, ...], ...] = ()
    styles: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    loras: tuple[str, ...] = ()
    folder: Path | None = field(default=None, compare=False)
    framing: Framing = COVER

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.columns["walk"])


def in_use(columns: Mapping[str, np.ndarray]) -> list[str]:
    """Return the sorted names of the columns that a timeline needs: optional ones only where a value differs from the default."""
    return sorted(name for name in columns if name not in OPTIONAL or (columns[name] != OPTIONAL[name]).any())


def build_timeline(
    analysis: Analysis,
    preset: Preset,
    *,
    samples: int,
    fps: Fraction,
    seed: int,
    photos: tuple[str, ...] = (),
    videos: tuple[str, ...] = (),
    macros: Mapping[str, float] | None = None,
    lyrics: Sequence[Line] = (),
    spans: Sequence[PhaseSpan] | None = None,
    choose: Choose | None = None,
    signals: Mapping[str, np.ndarray] | None = None,
    footage: Sequence[Footage | None] = (),
) -> Timeline:
    """Decide every frame of a song's clip.

    Parameters
    ----------
    analysis
        The song's analysis.
    preset
        The preset.
    samples
        The song's length in samples, which decides the number of frames.
    fps
        Frames a second.
    seed
        Decides prompt order, noise and shake; the same seed gives the same timeline.
    photos
        Base names of the photographs fed in, shown in turn where the preset says `mode = "photo"`.
    videos
        Base names of the videos fed in, shown where the preset says `mode = "video"`, and as grounds.
    macros
        Where the preset's knobs stand, 0 to 1, by name; those not named stand at their defaults.
    lyrics
        The lines of the song's words, which become prompts at their times.
    spans
        The spans of the phases, if they are decided already. Default: where each fits best.
    choose
        Picks a picture of the library for a prompt where the preset says ``match``. Default: none is picked.
    signals
        Further curves that expressions may read, each float64 [frames] in [0, 1], by names that begin with ``stem.``.
    footage
        How much moves in each of `videos`, so that it is cut to the song; None, or left out: it is shown at the song's own time.

    Raises
    ------
    PresetError
        If a macro is not the preset's or leaves 0..1.

    Examples
    --------
    >>> import reactive
    >>> from fractions import Fraction
    >>> analysis, preset = reactive.analyze(reactive.open_track("song.wav")), reactive.get_preset("drift")
    >>> timeline = reactive.build_timeline(analysis, preset, samples=analysis.samples, fps=Fraction(8), seed=1)
    >>> timeline.frames
    32
    """
    if analysis.silent:
        preset = _calm(preset)
    turned = macro_values(preset, macros)
    preset = with_knobs(preset, turned)
    frames = frame_count(samples, analysis.sample_rate, fps)
    seconds = frame_times(frames, fps)
    grid = grid_of(analysis)
    curves = frame_signals(analysis, grid, frames=frames, fps=fps) | dict(signals or {})
    curves |= {f"{MACRO}{name}": np.full(frames, value) for name, value in turned.items()}
    # slow and fast oscillations keep to the metre
    bars = grid.bar_position(seconds) * pace_of(turned)
    song = Scope(curves, bars, fps)
    fits = np.stack([evaluate(phase.fits, song) for phase in preset.phase])
    parts, drop_times = part_names(analysis, lyrics), boundaries(analysis)
    spans = list(
        spans
        or lay_phases(
            preset.phase, fits, seconds, grid, analysis.sections, analysis.duration, parts=parts, boundaries=drop_times
        )
    )
    edges = [nearest_frame(span.start, fps) for span in spans] + [frames]
    ranges = [(min(a, frames), min(b, frames)) for a, b in zip(edges, edges[1:], strict=False)]
    scope = Scope(curves | _progress(spans, ranges, frames), bars, fps)
    pools = Pools(preset, seed, frozenset(parts))
    sections = [section.start for section in analysis.sections]
    events = schedule(
        preset,
        spans,
        grid,
        [evaluate(phase.switch.accent, scope) for phase in preset.phase],
        _climbs(preset, scope),
        pools,
        sections=sections,
        fps=fps,
        frames=frames,
        boundaries=drop_times,
        parts=parts,
        labels=[section.label for section in analysis.sections],
    )
    events = _inserted(events, preset, analysis, lyrics, spans, grid, pools, fps, frames, sections, parts)
    columns = _expression_columns(preset, spans, ranges, events, scope, frames)
    columns["hit"] = curves["kick"]
    columns |= _prompt_columns(events, frames)
    palettes = _palettes(preset, spans, events, pools, columns)
    columns["source"], columns["guide"] = place_sources(
        preset, spans, ranges, photos=len(photos), videos=len(videos), grid=grid, sections=sections, fps=fps, seed=seed
    )
    # a pure walk has no source to keep
    columns["strength"] = np.where(columns["source"] == NO_SOURCE, 1.0, np.clip(columns["strength"], 0.0, 1.0))
    loops = _closed_loops(preset, spans, ranges) if preset.loop else []
    harmonics = harmonics_for(np.clip(columns["speed"], 0, None), loops, fps)
    columns["walk"], columns["speed"] = walk_of(columns["speed"], loops, harmonics, fps)
    columns["seed"] = _seeds(preset, spans, ranges, events, frames, seed)
    cuts = _cuts(events, columns)
    columns["shot"] = np.cumsum(np.isin(np.arange(frames), cuts)).astype(np.int64)
    blending = columns["prompt_from"] != columns["prompt_to"]
    columns["dissolve"], columns["morph"] = place_joins(preset, columns["phase"], blending, cuts, grid, fps)
    columns["guide"] = np.where(columns["camera_flow"] > 0, columns["guide"], NO_GUIDE)
    turns = Turns(pools.prompts, pools.grounds, given=len(photos) + len(videos), choose=choose, seed=seed)
    columns |= place_grounds(
        preset, spans, ranges, events, columns, turns, cuts=cuts, grid=grid, sections=sections, fps=fps, seed=seed
    )
    known = {len(photos) + number: film for number, film in enumerate(footage) if film is not None}
    columns["film_time"] = place_films(preset, spans, columns, curves, cuts, known, grid=grid, fps=fps)
    columns["seed_from"], columns["seed_weight"] = np.full(frames, NO_SEED), np.zeros(frames)
    _camera_sums(columns, fps)
    _shake(columns, seed)
    return Timeline(
        song_sha256=analysis.sha256,
        file_sha256=analysis.file_sha256,
        samples=samples,
        sample_rate=analysis.sample_rate,
        fps=fps,
        title=preset.title,
        seed=seed,
        harmonics=harmonics,
        feedback_rate=Fraction(preset.feedback.rate).limit_denominator(1000),
        feedback_fresh=preset.feedback.fresh,
        prompts=tuple(pools.prompts),
        phases=tuple(phase.name for phase in preset.phase),
        photos=photos,
        cuts=tuple(cuts),
        columns={name: columns[name] for name in (*INTEGERS, *CURVES)},
        negatives=tuple(pools.negatives) if any(pools.negatives) else (),
        videos=videos,
        feedback_colour=preset.feedback.colour,
        palettes=palettes,
        grounds=tuple(turns.names),
        styles=style_names(preset),
        controls=control_names(preset),
        loras=lora_names(preset),
        framing=Framing(preset.fit),
    )


def _calm(preset: Preset) -> Preset:
    """Return the preset for a silent song: without feedback, so nothing restarts."""
    calm = [phase.model_copy(update={"mode": "walk"}) if phase.mode == "feedback" else phase for phase in preset.phase]
    return preset.model_copy(update={"phase": calm})


def _climbs(preset: Preset, scope: Scope) -> list[np.ndarray]:
    """Return each phase's height on its ladder, [frames]; zeros where it has none."""
    flat = np.zeros(len(scope.bars))
    return [evaluate(phase.climb, scope) if phase.order == "ladder" else flat for phase in preset.phase]


def _inserted(
    events: list[PromptSwitch],
    preset: Preset,
    analysis: Analysis,
    lyrics: Sequence[Line],
    spans: list[PhaseSpan],
    grid: Grid,
    pools: Pools,
    fps: Fraction,
    frames: int,
    sections: Sequence[float],
    parts: Sequence[str],
) -> list[PromptSwitch]:
    """Return the schedule with the song's words and, over them, the preset's pins."""
    insertions = line_insertions(preset, lyrics, grid, pools, analysis.duration) if lyrics else []
    insertions += pin_insertions(preset, analysis, spans, grid, pools, parts)
    if not insertions:
        return events

    def fixed(event: PromptSwitch, before: PromptSwitch | None) -> bool:
        # a phase's beginning, and the cuts at which feedback starts again
        fed_back = preset.phase[spans[event.span].phase].mode == "feedback"
        return before is None or event.span != before.span or (event.is_cut and fed_back)

    def prompt_after(frame: int, number: int) -> PromptSwitch:
        phase = preset.phase[spans[number].phase]
        seconds = float(frame_time(frame, fps))
        prompt = pools.next(spans[number].phase, part=part_at(seconds, sections, parts))
        is_cut = phase.switch.how == "cut" and grid.heard and phase.mode != "feedback"
        return prompt_switch(phase, number, prompt, grid, seconds, frame, is_cut=is_cut, fps=fps)

    return insert(events, insertions, spans, grid, fixed=fixed, resume=prompt_after, fps=fps, frames=frames)


def _progress(spans: list[PhaseSpan], ranges: list[tuple[int, int]], frames: int) -> dict[str, np.ndarray]:
    """Return the signals that are known once the phases are placed."""
    phase, loop = np.zeros(frames), np.zeros(frames)
    for first, stop in ranges:
        phase[first:stop] = (np.arange(stop - first) + 0.5) / max(stop - first, 1)
    for number in {span.loop for span in spans}:
        within = [frames_of for span, frames_of in zip(spans, ranges, strict=True) if span.loop == number]
        first, stop = within[0][0], within[-1][1]
        loop[first:stop] = (np.arange(stop - first) + 0.5) / max(stop - first, 1)
    return {"phase.progress": phase, "loop.progress": loop}


def _expression_columns(
    preset: Preset,
    spans: list[PhaseSpan],
    ranges: list[tuple[int, int]],
    events: list[PromptSwitch],
    scope: Scope,
    frames: int,
) -> dict[str, np.ndarray]:
    """Return phase, loop and all modulated columns, each phase's own expression in its own spans.

    Where one phase blends into the next, their expressions do too: the lens must not jump where the picture does not.
    """
    phase, loop = np.zeros(frames, np.int64), np.zeros(frames, np.int64)
    for span, (first, stop) in zip(spans, ranges, strict=True):
        phase[first:stop], loop[first:stop] = span.phase, span.loop
    columns: dict[str, np.ndarray] = {"phase": phase, "loop": loop}
    # where one phase blends into the next
    entries = [b for a, b in zip(events, events[1:], strict=False) if b.span != a.span and not b.is_cut]
    texts = [expressions(preset, phase_of) for phase_of in preset.phase]
    everywhere = np.arange(frames)
    for name in texts[0]:
        # an expression that several phases share is evaluated once
        curves = {text: evaluate(text, scope) for text in dict.fromkeys(part[name] for part in texts)}
        stacked = np.stack([curves[part[name]] for part in texts])
        column = stacked[phase, everywhere]
        for entry in entries:
            during = slice(entry.frame, entry.stop)
            share = ease((np.arange(entry.stop - entry.frame) + 1) / (entry.stop - entry.frame + 1))
            left = column[entry.frame - 1]
            column[during] = left + (column[during] - left) * share
        columns[name] = column
    for name in ("lens_zoom", "camera_zoom", "camera_flow", "lens_tilt", "lens_turn", *COLOURS):
        columns[name] = np.clip(columns[name], *LIMITS[name.replace("_", ".")])
    for name in STYLES:
        columns[name] = np.clip(columns[name], *LIMITS["style_picture.weight"])
    for name in CONTROLS:
        columns[name] = np.clip(columns[name], *LIMITS["control.weight"])
    for name in LORAS:
        columns[name] = np.clip(columns[name], *LIMITS["lora.strength"])
    return columns


def expressions(preset: Preset, phase: Phase) -> dict[str, str]:
    """Return the expressions that hold in a phase, by the column that each makes; shakes are still columns of their own."""
    lens: Lens = phase.lens or preset.lens
    camera: Camera = phase.camera or preset.camera
    colour: Colour = phase.colour or preset.colour
    return {
        "speed": phase.walk or preset.walk,
        "strength": phase.strength or preset.strength,
        "lens_zoom": lens.zoom,
        "lens_rotate": lens.rotate,
        "lens_x": lens.x,
        "lens_y": lens.y,
        "lens_tilt": lens.tilt,
        "lens_turn": lens.turn,
        "lens_shake": lens.shake,
        "camera_zoom": camera.zoom,
        "camera_rotate": camera.rotate,
        "camera_x": camera.x,
        "camera_y": camera.y,
        "camera_tilt": camera.tilt,
        "camera_turn": camera.turn,
        "camera_shake": camera.shake,
        "camera_flow": camera.flow,
        "colour_strength": colour.strength,
        "colour_tint": colour.tint,
        "colour_temperature": colour.temperature,
        "colour_saturation": colour.saturation,
        "colour_contrast": colour.contrast,
        "colour_brightness": colour.brightness,
        **ground_expressions(preset, phase),
        **film_expressions(preset, phase),
        **style_expressions(preset, phase),
        **control_expressions(preset, phase),
        **lora_expressions(preset, phase),
    }


def _prompt_columns(events: list[PromptSwitch], frames: int) -> dict[str, np.ndarray]:
    before, after, slerp = (np.zeros(frames, np.int64) for _ in range(3))
    weight = np.zeros(frames)
    current = events[0].prompt
    for event, end in zip(events, [e.frame for e in events[1:]] + [frames], strict=True):
        before[event.frame : event.stop] = current
        after[event.frame : event.stop] = event.prompt
        weight[event.frame : event.stop] = blend_weights(event.stop - event.frame)
        slerp[event.frame : event.stop] = event.slerp
        before[event.stop : end] = after[event.stop : end] = event.prompt
        current = event.prompt
    return {"prompt_from": before, "prompt_to": after, "slerp": slerp, "weight": weight}


def _palettes(
    preset: Preset, spans: list[PhaseSpan], events: list[PromptSwitch], pools: Pools, columns: dict[str, np.ndarray]
) -> tuple[tuple[str, ...], ...]:
    """Set the columns of palettes, which blend as prompts do, and return the palettes."""
    before, after = (np.full(len(columns["phase"]), NO_PALETTE) for _ in range(2))
    numbers: dict[tuple[str, ...], int] = {(): NO_PALETTE}
    current = NO_PALETTE
    for number, event in enumerate(events):
        phase = preset.phase[spans[event.span].phase]
        wanted = pools.palettes[event.prompt] or tuple((phase.colour or preset.colour).palette)
        chosen = numbers.setdefault(wanted, len(numbers) - 1)
        end = events[number + 1].frame if number + 1 < len(events) else len(before)
        before[event.frame : event.stop] = current if number else chosen
        before[event.stop : end] = after[event.frame : end] = current = chosen
    columns["palette_from"], columns["palette_to"] = before, after
    return tuple(palette for palette in numbers if palette)


def _closed_loops(preset: Preset, spans: list[PhaseSpan], ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the frame ranges of the loops that have every phase."""
    loops = []
    for number in sorted({span.loop for span in spans}):
        within = [part for span, part in zip(spans, ranges, strict=True) if span.loop == number]
        if len(within) == len(preset.phase) and within[-1][1] > within[0][0]:
            loops.append((within[0][0], within[-1][1]))
    return loops


def _seeds(
    preset: Preset,
    spans: list[PhaseSpan],
    ranges: list[tuple[int, int]],
    events: list[PromptSwitch],
    frames: int,
    seed: int,
) -> np.ndarray:
    """Return each frame's noise seed: a new one at each hard cut, the first one from a loop's last phase to the next loop's first.

    So a loop ends with what it begins with.
    """
    first_seed = derive(seed, 0)
    seeds = np.full(frames, first_seed, np.int64)
    last = len(preset.phase) - 1
    current, taken, span_before = first_seed, 0, 0
    for event in events:
        phase = spans[event.span].phase
        entering = event.span != span_before
        if event.is_cut and entering and preset.loop and phase in (0, last):
            current = first_seed
        elif event.is_cut and not event.match and event.frame > 0:
            taken += 1
            current = derive(seed, taken)
        span_before = event.span
        seeds[event.frame :] = current
    return seeds


def derive(seed: int, number: int) -> int:
    """Return the `number`-th seed derived from `seed`: 62 bits, counter-based."""
    words = np.random.SeedSequence([seed % 2**63, number]).generate_state(2, np.uint32)
    return int(words[0]) << 30 ^ int(words[1])


def _cuts(events: list[PromptSwitch], columns: dict[str, np.ndarray]) -> list[int]:
    """Return the frames at which the picture is meant to jump: cuts, and wherever source or seed change."""
    changed = (np.diff(columns["source"]) != 0) | (np.diff(columns["seed"]) != 0)
    return sorted(
        {event.frame for event in events if event.is_cut and event.frame > 0}
        | set((np.flatnonzero(changed) + 1).tolist())
    )


def _shake(columns: dict[str, np.ndarray], seed: int) -> None:
    """Turn the columns of shake into shifts of the lens and about the camera's path, drawn by frame number."""
    for number, name in enumerate(("lens", "camera"), 1):
        amount = columns.pop(f"{name}_shake")
        random = np.random.Generator(np.random.Philox(key=[seed % 2**63, number])).uniform(-1, 1, (2, len(amount)))
        columns[f"{name}_x"] = columns[f"{name}_x"] + amount * random[0]
        columns[f"{name}_y"] = columns[f"{name}_y"] + amount * random[1]


def _camera_sums(columns: dict[str, np.ndarray], fps: Fraction) -> None:
    """Turn the camera's speeds a second into running sums."""
    step = frame_length(fps)
    columns["camera_zoom"] = np.cumsum(np.log(columns["camera_zoom"]) * step)
    for name in ("camera_rotate", "camera_x", "camera_y", "camera_tilt", "camera_turn"):
        columns[name] = np.cumsum(columns[name] * step)
