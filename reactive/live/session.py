"""A preview of a song: the song, the performance so far, and its engine. Independent of the network.

Commands come as validated data; each returns what to send to the pages. Methods may be slow (they recompute the timeline),
so the server calls them from a thread, one at a time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from reactive.audio.corrections import apply_corrections, save_corrections
from reactive.audio.fit import outcome
from reactive.audio.grid import Grid, grid_of
from reactive.errors import GridError, PresetError, ReactiveError, TimelineError
from reactive.live.coda import calm_analysis, calm_timeline
from reactive.live.engine import Engine
from reactive.live.file_state import file_state_of
from reactive.live.grid import correct_grid, grid_for_page
from reactive.live.marks import Marks, load_marks, save_marks
from reactive.live.material import SongMaterial
from reactive.live.quantise import (
    QUANTISED,
    SHORTEST_LOOP,
    beats_after,
    checked_loop,
    checked_unit,
    loop_of_bars,
    nearest_mark,
    next_mark,
    next_played,
)
from reactive.live.save_preset import WARNING, edited_preset, is_own, plan_save, remaining_changes, remaining_macros
from reactive.live.song import analysis_for_page, last_bars, timeline_for_page
from reactive.preset.bundle import fork
from reactive.preset.control import control_pictures, joined_control, split_control
from reactive.preset.edit import write_over
from reactive.preset.library import lyrics_of, names, open_preset
from reactive.preset.lyrics import Line
from reactive.preset.macros import macro_values
from reactive.preset.schema import Preset, parse_preset, read_preset
from reactive.preset.style import split_style, style_pictures
from reactive.render.take import Take, check_change, save_take
from reactive.sources.ground import picture_chooser
from reactive.timeline.clock import frame_time, nearest_frame
from reactive.timeline.controls import CONTROLS
from reactive.timeline.loras import lora_strengths
from reactive.timeline.perform import Change, Performance, Stage, write_knobs
from reactive.timeline.timeline import Timeline

# kinds of change that replace an earlier one of the same name
LATCHED = ("control", "prompt", "freeze", "hold", "black")
MAX_CHANGES = 20_000


@dataclass
class LoadedPreset:
    """A loaded preset: its file, its text, and the file's last known state (None: not read yet)."""

    path: Path
    text: str
    file_state: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class _Arrival:
    """What the changes that wait for a jump make of the song if it lands at `landing`, in seconds."""

    landing: float
    changes: list[Change]
    performance: Performance
    timeline: Timeline


class Session:
    """A song being previewed.

    Parameters
    ----------
    material
        Song and model.
    made
        Called from the engine's thread with the new frames.
    presets
        Names or paths of the available presets; the first one is shown at the start.
    """

    def __init__(self, material: SongMaterial, made: Callable[[list[int]], None], presets: tuple[str, ...]) -> None:
        self.material = material
        self.loaded: dict[str, LoadedPreset] = {}
        self.changes: list[Change] = []
        self.revision = 0
        self.saved = True
        # a unit of `QUANTISE`, the start of a loop without an end yet, and changes that wait for a loop to begin again
        self.quantise = "off"
        self.loop_start: float | None = None
        self.waiting: list[Change] = []
        self._arrival: _Arrival | None = None
        # where the last jump landed in song time, and the beats over which a snapshot is recalled
        self.landing = 0.0
        self.glide = 0
        self.marks = load_marks(material.track)
        # the bars over which pictures go on after the song's end
        self.coda: tuple[float, float] | None = None
        # the error in a preset's current file
        self.problem: ReactiveError | None = None
        self.macros = dict(material.options.macros)
        self.lyrics: dict[str, tuple[Line, ...]] = {}
        checked: dict[str, Preset] = {}
        for source_name in presets:
            file = open_preset(source_name, option="--with" if checked else "--preset")
            name = source_name if source_name not in self.loaded else f"{source_name} ({len(self.loaded)})"
            checked[name] = file.preset
            self.lyrics[name] = lyrics_of(file, material.options.sources.lyrics)
            self.loaded[name] = LoadedPreset(file.path, file.text)
        self.first = next(iter(checked))
        self.stage = self._stage(checked)
        self._set_ground_folders()
        for name, preset in checked.items():
            material.use_colours_of(preset, self.loaded[name].path.parent)
        self._use_colours(self.stage, self.first)
        self.performance: Performance = self.stage.start(self.first)
        self.engine = Engine(material, made)
        # what was performed, with the edits of single shots
        self.timeline = material.shots.over(self.performance.timeline, material.analysis)
        self.engine.set_timeline(self.timeline, self.performance.black)

    def _set_ground_folders(self) -> None:
        """Set the folders of the loaded presets' grounds, starting with the first preset."""
        self.material.ground_folders = [loaded.path.parent for loaded in self.loaded.values()]

    def _use_colours(self, stage: Stage, name: str) -> None:
        """Show pictures through a preset's colour table."""
        self.material.use_colours_of(stage.presets[name], self.loaded[name].path.parent)

    def _stage(self, presets: Mapping[str, Preset]) -> Stage:
        options = self.material.options
        return Stage(
            self.material.analysis,
            self.material.track.samples,
            options.fps,
            options.seed,
            presets,
            self.material.photo_names,
            self.material.video_names,
            self.lyrics,
            self.macros,
            picture_chooser(options.sources.photos, options.sources.videos),
            self.material.footage,
            style_pictures(options.sources.styles),
            control_pictures(options.sources.controls),
            lora_strengths(options.model.loras),
        )

    # -- messages for the pages ----------------------------------------------------------------------------------------
    def hello(self) -> dict[str, Any]:
        """Return the first message for a page."""
        material, options = self.material, self.material.options
        return {
            "title": material.track.path.stem,
            "duration": material.track.duration,
            "fps": [options.fps.numerator, options.fps.denominator],
            "size": list(material.size),
            "imagined": list(material.imagined),
            "model": options.model.title,
            "steps": material.model.steps,
            "draft": options.draft,
            "controls": {
                name: {
                    "label": c.label,
                    "rest": c.rest,
                    "low": c.low,
                    "high": c.high,
                    "step": c.step,
                    "meaning": c.meaning,
                }
                for name, c in CONTROLS.items()
            },
        }

    def lanes(self) -> dict[str, Any]:
        """Return the data of the lanes under the picture."""
        return {"revision": self.revision, "song": analysis_for_page(self.material.analysis)} | timeline_for_page(
            self.timeline
        )

    def state(self) -> dict[str, Any]:
        """Return the state for a page."""
        state = self.performance.state
        preset = self.stage.presets[state.preset]
        macros = {f"macro.{name}": value for name, value in macro_values(preset, self.stage.turned(state)).items()}
        return {
            "revision": self.revision,
            "presets": list(self.loaded),
            "preset": state.preset,
            "problem": error_message(self.problem) if self.problem else None,
            "grid": grid_for_page(self.material.analysis, self.material.corrections) if self.material.raw else None,
            "phases": [phase.name for phase in preset.phase],
            "controls": {name: control.rest for name, control in CONTROLS.items()} | macros | dict(state.controls),
            "macros": {f"macro.{macro.name}": macro.description for macro in preset.macros},
            "freeze": state.freeze,
            "hold": state.hold,
            "black": state.black,
            "changes": len(self.changes),
            "saved": self.saved,
            "quantise": self.quantise,
            "loop": list(self.engine.transport.loop) if self.engine.transport.loop else None,
            "loop_start": self.loop_start,
            "waiting": self._coming(),
            "jump": list(self.engine.transport.jump) if self.engine.transport.jump else None,
            "cues": [cue.model_dump() for cue in self.marks.cues],
            "snapshots": [shot.name if shot else None for shot in self.marks.snapshots],
            "glide": self.glide,
        }

    def _coming(self) -> list[dict[str, Any]]:
        """Return the changes that are not heard yet, with their song times; None for the next jump."""
        if not self.engine.transport.playing:
            return []
        here = self.engine.transport.at()
        later = [(change, change.time) for change in self.changes if change.time > here and change.kind in QUANTISED]
        jumping = [(change, None) for change in self.waiting]
        return [
            {"kind": change.kind, "name": change.name, "value": change.value, "time": time}
            for change, time in (*later[-8:], *jumping)
        ]

    # -- the transport -------------------------------------------------------------------------------------------------
    def clock(self, position: float, playing: bool) -> None:
        """Set the page's playback position."""
        moved = replace(
            self.engine.transport, position=self._inside(position), playing=playing, updated_at=time.monotonic()
        )
        self.engine.set_transport(moved, jumped=False)

    def seek(self, position: float, playing: bool) -> tuple[int, float]:
        """Seek to a song time; return the new epoch and the actual position (a long feedback shot restarts)."""
        timeline = self.engine.timeline
        target = self._inside(position)
        frame = min(nearest_frame(target, timeline.fps), timeline.frames - 1)
        start = self.engine.seek_target(frame, playing=playing)
        landed = target if start == frame else float(frame_time(start, timeline.fps))
        turn = self._turn
        # a page jumps a little late: what comes with the jump belongs to the first frame there
        self.landing = turn[1] if turn is not None and turn[1] <= landed < turn[1] + 1.0 else landed
        # before the jump is known, so that nothing of before is shown after it
        self._arrive()
        moved = replace(self.engine.transport, position=landed, playing=playing, updated_at=time.monotonic(), jump=None)
        return self.engine.set_transport(moved, jumped=True), landed

    def loop(self, section: tuple[float, float] | None) -> None:
        """Repeat a section; None to stop repeating. `settle` has to follow if changes are waiting."""
        if section is not None:
            begin, end = sorted((self._inside(section[0]), self._inside(section[1])))
            section = (begin, end) if end - begin >= SHORTEST_LOOP else None
        transport = self.engine.transport
        moved = replace(transport, loop=section, position=transport.at(), updated_at=time.monotonic())
        self.engine.set_transport(moved, jumped=False)
        self.loop_start = None
        self._arrival = None
        self.engine.look_ahead(None)

    def loop_bars(self, bars: int) -> None:
        """Repeat some bars from the next beat or bar on, or stop if exactly these are repeated.

        Raises
        ------
        TimelineError
            If the song ends before.
        """
        transport = self.engine.transport
        section = loop_of_bars(self.grid, transport, transport.at(), bars, self._unit)
        self.loop(None if section == transport.loop else section)

    def loop_section(self) -> None:
        """Repeat the section of the song at the playhead, or stop repeating."""
        transport = self.engine.transport
        here = transport.at()
        sections = [(s.start, s.end) for s in self.material.analysis.sections if s.start <= here < s.end]
        self.loop(None if transport.loop or not sections else sections[0])

    def loop_from(self) -> None:
        """Set the start of a loop at the next beat or bar; the loop begins when its end is set."""
        start = next_mark(self.grid, self.engine.transport.at(), self._unit, self.engine.transport.duration)
        self.loop(None)
        self.loop_start = start

    def loop_to(self) -> None:
        """Set the end of a loop at the next beat or bar.

        Raises
        ------
        TimelineError
            If its start is not set, or not before.
        """
        if self.loop_start is None:
            raise TimelineError("the loop has no start yet", remedy="set its start first")
        transport = self.engine.transport
        end = next_mark(self.grid, transport.at(), self._unit, transport.duration)
        self.loop(checked_loop(self.loop_start, end))

    def quantise_by(self, unit: object) -> None:
        """Set whether actions wait for the next beat or bar: a unit of `reactive.live.quantise.QUANTISE`.

        Raises
        ------
        TimelineError
            If there is no such unit.
        """
        self.quantise = checked_unit(unit)

    @property
    def grid(self) -> Grid:
        """The song's beats and bars."""
        return grid_of(self.material.analysis)

    @property
    def _unit(self) -> str:
        """The unit of quantisation; nothing waits while the song is paused."""
        return self.quantise if self.engine.transport.playing else "off"

    def settle(self) -> int:
        """Apply changes that waited for a loop that may never begin again, on the next beat or bar; return the epoch."""
        waiting, self.waiting = self.waiting, []
        epoch = self.engine.epoch
        for change in waiting:
            epoch = self._change(replace(change, time=self.engine.transport.at()))
        self._look_ahead()
        return epoch

    @property
    def _turn(self) -> tuple[float, float] | None:
        """The next jump: at which song time, and where to. A playhead that is past a loop's end goes back too."""
        transport = self.engine.transport
        return transport.turn or (transport.loop and (transport.loop[1], transport.loop[0]))

    def _arrive(self) -> None:
        """Apply the changes that wait for a jump where it lands."""
        if not self.waiting:
            return
        known = self._arrival
        if known is None or known.landing != self.landing:
            known = self._arrival_at(self.landing)
        self.waiting, self._arrival = [], None
        self._set_performance(known.changes, known.performance, known.timeline)

    def _arrival_at(self, landing: float) -> _Arrival:
        """Return the performance with the changes that wait for a jump, if it lands at a song time."""
        changes, loop = list(self.changes), self.engine.transport.loop
        for change in self.waiting:
            # in a loop a later change of the same kind would undo it in each round
            end = loop[1] if loop is not None and change.kind in ("phase", "preset") else landing
            changes = [
                c
                for c in changes
                if c.time < landing or not (_same(c, change) or (c.kind == change.kind and c.time < end))
            ]
            changes.append(replace(change, time=landing))
        changes.sort(key=lambda change: change.time)
        performance = self.stage.fold(self.first, changes)
        timeline = self.material.shots.over(performance.timeline, self.material.analysis)
        return _Arrival(landing, changes, performance, timeline)

    def _look_ahead(self) -> None:
        """Let the engine imagine what the changes that wait for a jump make of the frames after it."""
        turn = self._turn
        self._arrival = None
        if self.waiting and turn is not None and self.coda is None:
            self._arrival = self._arrival_at(turn[1])
            self.engine.look_ahead(self._arrival.timeline, self._arrival.performance.black)
        else:
            self.engine.look_ahead(None)

    # -- cue points and snapshots --------------------------------------------------------------------------------------
    def jump_to(self, number: int) -> tuple[float, float]:
        """Jump to a cue point, by its number from 1, now or on the next beat or bar.

        Returns
        -------
        At which song time, and where to.

        Raises
        ------
        TimelineError
            If there is no such cue point.
        """
        transport = self.engine.transport
        here, there = transport.at(), self._inside(self.marks.cue(number).time)
        bare = replace(transport, jump=None)
        at, turns = next_played(self.grid, bare, here, self._unit)
        jump = (bare.loop[1] if turns and bare.loop else at, there)
        if transport.playing and self._unit != "off" and jump[0] > here:
            moved = replace(transport, jump=jump, position=here, updated_at=time.monotonic())
            self.engine.set_transport(moved, jumped=False)
        return jump

    def set_cue(self) -> None:
        """Set a cue point at the playhead, or at the nearest beat or bar; it is saved beside the song.

        Raises
        ------
        TimelineError
            If there is one, or it can't be written.
        """
        here = nearest_mark(self.grid, self.engine.transport.at(), self.quantise, self.engine.transport.duration)
        self._keep(self.marks.with_cue(here))

    def store(self, number: int) -> None:
        """Store where all knobs stand in a slot, from 1; it is saved beside the song.

        Raises
        ------
        TimelineError
            If there is no such slot, or it can't be written.
        """
        self._keep(self.marks.stored(number, {name: float(value) for name, value in self.state()["controls"].items()}))

    def recall(self, number: int, position: float) -> int:
        """Turn all knobs as a snapshot has them, over `glide` beats; return the epoch.

        Raises
        ------
        TimelineError
            If the slot is empty.
        """
        knobs = self.marks.snapshot(number).knobs
        at = next_played(self.grid, self.engine.transport, position, self._unit)[0]
        seconds = beats_after(self.grid, at, self.glide) - at if self.glide else 0.0
        return self._change(Change(self._inside(position), "knobs", value=seconds, text=write_knobs(knobs)))

    def rename(self, what: str, number: int, name: str | None) -> None:
        """Rename a cue point or a snapshot, or delete it if the name is None; it is saved beside the song.

        Raises
        ------
        TimelineError
            If it is not there, the name is not one, or it can't be written.
        """
        self._keep(self.marks.renamed(what, number, name))

    def _keep(self, marks: Marks) -> None:
        save_marks(self.material.track, marks)
        self.marks = marks

    def _inside(self, position: float) -> float:
        return min(max(float(position), 0.0), self.material.track.duration)

    # -- changes -------------------------------------------------------------------------------------------------------
    def change(self, data: Mapping[str, Any]) -> int:
        """Apply a live change; return the new epoch.

        Raises
        ------
        ReactiveError
            If it is not possible; nothing is changed.
        """
        try:
            change = check_change(dict(data))
        except (KeyError, TypeError, ValueError) as problem:
            raise TimelineError(str(problem), remedy="reload the page") from None
        return self._change(replace(change, time=self._inside(change.time)))

    def _change(self, change: Change) -> int:
        """Apply a change, on the next beat or bar if it is quantised; return the new epoch."""
        if change.kind not in QUANTISED or self._unit == "off":
            return self._record(change)
        at, jumps = next_played(self.grid, self.engine.transport, change.time, self._unit)
        change = replace(change, time=at)
        # of two presses before the same mark the later one counts
        self.waiting = [c for c in self.waiting if not _replaces(change, c)]
        if not jumps:
            return self._record(change, [c for c in self.changes if not (c.time == at and _replaces(change, c))])
        if len(self.changes) + len(self.waiting) >= MAX_CHANGES:
            raise TimelineError("the take is full", remedy="save it and start another")
        # an impossible change is refused now
        self.stage.apply(self.performance, replace(change, time=max(at, self._last_change)))
        self.waiting.append(change)
        self._look_ahead()
        return self.engine.epoch

    @property
    def _last_change(self) -> float:
        return self.changes[-1].time if self.changes else 0.0

    def _record(self, change: Change, others: list[Change] | None = None) -> int:
        """Apply a change at its time, beside the others (default: all so far); return the new epoch."""
        given = self.changes if others is None else others
        of_shots = set(self.timeline.prompts) - set(self.performance.timeline.prompts)
        if change.kind == "prompt" and change.name in of_shots:
            raise TimelineError(
                "these are the words of a single shot", remedy="change them in the studio, or with `reactive shots`"
            )
        if len(given) >= MAX_CHANGES:
            raise TimelineError("the take is full", remedy="save it and start another")
        if len(given) == len(self.changes) and change.time >= self._last_change:
            kept, performance = given, self.stage.apply(self.performance, change)
        else:
            # a change at an earlier time overwrites the recorded ones of the same name after it
            kept = [c for c in given if c.time < change.time or not _same(c, change)]
            performance = self.stage.fold(self.first, [*kept, change])
        return self._set_performance(sorted([*kept, change], key=lambda c: c.time), performance)

    def next_preset(self) -> str:
        """Return the name of the loaded preset after the one that is played."""
        loaded = list(self.loaded)
        return loaded[(loaded.index(self.performance.state.preset) + 1) % len(loaded)]

    def forget(self, back: bool = False) -> int:
        """Undo all changes, or only the last one if `back`; return the new epoch."""
        changes = self.changes[:-1] if back else []
        return self._set_performance(changes, self.stage.fold(self.first, changes))

    def replay(self, changes: Iterable[Change]) -> int:
        """Apply earlier changes, without those that are no longer possible; return the new epoch."""
        return self._restage(self.stage, list(changes))

    def _set_performance(
        self, changes: list[Change], performance: Performance, timeline: Timeline | None = None
    ) -> int:
        self._use_colours(self.stage, performance.state.preset)
        self.changes, self.performance, self.saved = changes, performance, not changes
        epoch = self._show(timeline)
        self.revision += 1
        if self.waiting:
            self._look_ahead()
        return epoch

    def _show(self, timeline: Timeline | None = None) -> int:
        """Let the engine imagine the performance, or its coda after the song's end; return the epoch.

        `timeline`: the performance's with the edits of single shots, if it is known.
        """
        performance = self.performance
        if timeline is None:
            timeline = self.material.shots.over(performance.timeline, self.material.analysis)
        self.timeline = timeline
        if self.coda is not None:
            stage = self._stage(self.stage.presets)
            stage.analysis = calm_analysis(stage.analysis, *self.coda)
            timeline = calm_timeline(performance, stage.fold(self.first, self.changes), *self.coda)
        return self.engine.set_timeline(timeline, performance.black)

    def go_on(self) -> int:
        """Let pictures go on after the song's end, calmly over its last bars (`coda`); return the epoch."""
        self.coda = last_bars(self.material.analysis)
        return self._show()

    def sound_again(self) -> int:
        """End the coda: the song is heard again; return the epoch."""
        self.coda = None
        return self._show()

    def prompt_at(self, frame: int) -> str:
        """Return the prompt with the largest weight at a frame."""
        timeline = self.timeline
        columns, frame = timeline.columns, min(max(frame, 0), timeline.frames - 1)
        main = "prompt_to" if columns["weight"][frame] >= 0.5 else "prompt_from"
        return timeline.prompts[int(columns[main][frame])]

    # -- files ---------------------------------------------------------------------------------------------------------
    def take(self) -> Take:
        """Return the changes so far as a take."""
        options, track = self.material.options, self.material.track
        return Take(
            track.sha256,
            options.fps,
            options.seed,
            self.material.photo_names,
            self.first,
            {name: loaded.text for name, loaded in self.loaded.items()},
            tuple(self.changes),
            self.material.video_names,
            dict(self.macros),
            {name: lines for name, lines in self.lyrics.items() if lines},
            track.file_sha256,
            tuple(f"{Path(name).name}:{weight}" for name, weight in map(split_style, options.sources.styles)),
            tuple(
                joined_control(kind, Path(name).name, weight)
                for kind, name, weight in map(split_control, options.sources.controls)
            ),
            tuple(f"{lora.file}:{lora.strength}" for lora in lora_strengths(options.model.loras)),
        )

    def save_take(self, path: Path) -> None:
        """Write the take."""
        save_take(self.take(), path)
        self.saved = True

    def reload(self) -> int | None:
        """Reload presets whose files were saved, and edits of single shots; return the new epoch, or None if there was none.

        Raises
        ------
        ReactiveError
            If the new text can't be used; the old one stays, and the error is raised once.
        """
        presets = dict(self.stage.presets)
        texts: dict[str, str] = {}
        try:
            for name, loaded in self.loaded.items():
                now = file_state_of(loaded.path)
                if now is None or now == loaded.file_state:
                    continue
                loaded.file_state = now
                text = read_preset(loaded.path)
                if text == loaded.text:
                    self.problem = None
                    continue
                presets[name] = parse_preset(text, where=str(loaded.path))
                texts[name] = text
            edited = self.material.follow_shots(self.performance.timeline)
            if not texts and not edited:
                return None
            epoch = self._restage(self._stage(presets), list(self.changes)) if texts else self._show()
        except ReactiveError as problem:
            self.problem = problem
            raise
        for name, text in texts.items():
            self.loaded[name].text = text
        self.problem = None
        self.revision += 1
        return epoch

    def _restage(self, stage: Stage, changes: list[Change]) -> int:
        """Apply changes to another stage, without those that are not possible there, for instance of removed phases."""
        while True:
            try:
                performance = stage.fold(self.first, changes)
                break
            except ReactiveError:
                if not changes:
                    raise
                changes = changes[:-1]
        self._use_colours(stage, performance.state.preset)
        self.stage = stage
        return self._set_performance(changes, performance)

    # -- saving into the preset ----------------------------------------------------------------------------------------
    def save_plan(self) -> dict[str, Any]:
        """Return the effect of saving into the preset, for confirmation."""
        state = self.performance.state
        loaded = self.loaded[state.preset]
        plan = plan_save(self.stage.presets[state.preset], state, self.changes)
        own = is_own(loaded.path)
        stem = loaded.path.parent.name if loaded.path.name == "preset.toml" else loaded.path.stem
        return {
            "preset": state.preset,
            "own": own,
            "path": str(loaded.path) if own else None,
            "says": list(plan.written),
            "leaves": list(plan.left_out),
            "warning": WARNING,
            "name": _free(stem),
        }

    def save_preset(self, name: str | None = None) -> tuple[int, Path]:
        """Save changes into the preset's file, or into a copy under a new name; return epoch and file.

        Parameters
        ----------
        name
            Name of the copy, among the user's own presets; None for the preset itself.

        Raises
        ------
        PresetError
            If the preset is bundled and `name` is None, there is nothing to save, or it can't be written.
        """
        state = self.performance.state
        played, loaded = state.preset, self.loaded[state.preset]
        where = str(loaded.path)
        if name is None and not is_own(loaded.path):
            raise PresetError(
                "is bundled with the program and is not changed", where=played, remedy="save under a new name"
            )
        text = read_preset(loaded.path)
        if text != loaded.text:
            raise PresetError("was changed meanwhile", where=where, remedy="wait until it is reloaded")
        plan = plan_save(self.stage.presets[played], state, self.changes)
        if not plan.edits:
            raise PresetError("nothing was turned that a preset holds", where=played, remedy="turn a slider first")
        new, preset = edited_preset(text, self.stage.presets[played], plan, where=where)
        path = loaded.path if name is None else fork(str(loaded.path), name)
        if name is not None:
            # a copy has another header
            new, preset = edited_preset(read_preset(path), self.stage.presets[played], plan, where=str(path))
        write_over(path, new)
        called = played if name is None else name
        self.loaded = {(called if one == played else one): of for one, of in self.loaded.items()}
        self.loaded[called] = LoadedPreset(path, new)
        self._set_ground_folders()
        self.lyrics = {(called if one == played else one): of for one, of in self.lyrics.items()}
        presets = {(called if one == played else one): of for one, of in self.stage.presets.items()}
        self.first = called if self.first == played else self.first
        self.macros = remaining_macros(self.macros, state)
        changes = [
            replace(change, name=called) if change.kind == "preset" and change.name == played else change
            for change in remaining_changes(self.changes, plan)
        ]
        return self._restage(self._stage(presets | {called: preset}), changes), path

    # -- the grid ------------------------------------------------------------------------------------------------------
    def correct(self, data: Mapping[str, Any]) -> int:
        """Correct the grid by an action of the page, save the correction, and recompute the timeline; return the new epoch.

        Raises
        ------
        GridError
            If that is not possible; nothing is changed.
        """
        material = self.material
        if material.raw is None:
            raise GridError("a live input has no grid", where="grid", remedy="preview a song")
        try:
            corrections = correct_grid(material.raw, material.corrections, data)
        except ValueError as problem:
            raise GridError(str(problem), where="grid", remedy="reload the page") from None
        before = material.analysis
        material.analysis = apply_corrections(material.raw, corrections)
        try:
            stage = self._stage(self.stage.presets)
            track = material.track
            save_corrections(track.path, track.sha256, corrections, track.file_sha256, gave=outcome(material.analysis))
            epoch = self._restage(stage, list(self.changes))
        except ReactiveError:
            material.analysis = before
            raise
        material.corrections = corrections
        return epoch

    def close(self) -> None:
        """Stop the engine."""
        self.engine.stop()


def _same(one: Change, other: Change) -> bool:
    return one.kind == other.kind and one.kind in LATCHED and one.name == other.name


def _replaces(one: Change, other: Change) -> bool:
    """Return whether of two changes at one moment only `one` counts."""
    return one.kind == other.kind and one.kind in QUANTISED


def _free(stem: str) -> str:
    """Return an unused name for a copy of a preset."""
    base = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40] or "preset"
    taken = set(names())
    return next(name for number in count(1) if (name := f"my-{base}" + f"-{number}" * (number > 1)) not in taken)


def error_message(error: ReactiveError) -> dict[str, Any]:
    """Return an error as a message for the pages."""
    return {"t": "error", "what": error.what, "where": error.where, "remedy": error.remedy, "text": str(error)}
