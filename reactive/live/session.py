"""One preview: a song, a performance in the making, and the engine that shows it. Free of the network.

Commands come as checked data; each returns what the pages must be told. Methods may be slow (a timeline is decided
anew), so the server calls them from a thread, one at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reactive.errors import ReactiveError, TimelineError
from reactive.live.engine import Engine
from reactive.live.material import Material
from reactive.live.song import decided, heard
from reactive.preset.library import find_preset, words_of
from reactive.preset.lyrics import Line
from reactive.preset.macros import macro_values
from reactive.preset.schema import Preset, load_preset, read_preset
from reactive.render.take import Take, check_change, save_take
from reactive.timeline.clock import frame_time, nearest_frame
from reactive.timeline.controls import CONTROLS
from reactive.timeline.perform import Change, Performance, Stage

# kinds of change of which the latest one on the same name counts from there on
LATCHED = ("control", "prompt", "freeze", "hold", "black")
MAX_CHANGES = 20_000


@dataclass
class Loaded:
    """A preset that is loaded: where its file is, its text, and when that was written."""

    path: Path
    text: str
    written: int


class Session:
    """A song being previewed.

    Parameters
    ----------
    material
        Song and model.
    made
        Called from the engine's thread with the frames that are new.
    presets
        Names or paths of the presets that can be shown; the first is shown at the start.
    """

    def __init__(self, material: Material, made: Callable[[list[int]], None], presets: tuple[str, ...]) -> None:
        self.material = material
        self.loaded: dict[str, Loaded] = {}
        self.changes: list[Change] = []
        self.revision = 0
        self.saved = True
        self.lyrics: dict[str, tuple[Line, ...]] = {}
        checked: dict[str, Preset] = {}
        for given in presets:
            path = find_preset(given)
            name = given if given not in self.loaded else f"{given} ({len(self.loaded)})"
            checked[name] = load_preset(path)
            self.lyrics[name] = words_of(given, checked[name], material.options.lyrics)
            self.loaded[name] = Loaded(path, read_preset(path), path.stat().st_mtime_ns)
        self.first = next(iter(checked))
        self.stage = self._stage(checked)
        self.performance: Performance = self.stage.start(self.first)
        self.engine = Engine(material, made)
        self.engine.show(self.performance.timeline, self.performance.black)

    def _stage(self, presets: Mapping[str, Preset]) -> Stage:
        options = self.material.options
        return Stage(
            self.material.analysis, self.material.track.samples, options.fps, options.seed, presets,
            self.material.photo_names, self.material.video_names, self.lyrics, options.macros,
        )  # fmt: skip

    # -- what the pages are told ---------------------------------------------------------------------------------------
    def hello(self) -> dict[str, Any]:
        """Return what a page needs to know once."""
        material, options = self.material, self.material.options
        return {
            "title": material.track.path.stem,
            "duration": material.track.duration,
            "fps": [options.fps.numerator, options.fps.denominator],
            "size": list(material.size),
            "imagined": list(material.imagined),
            "model": Path(options.model).name or options.model,
            "steps": material.model.steps,
            "draft": options.draft,
            "controls": {
                name: {"label": c.label, "rest": c.rest, "low": c.low, "high": c.high, "step": c.step, "meaning": c.meaning}
                for name, c in CONTROLS.items()
            },
            "presets": list(self.loaded),
        }  # fmt: skip

    def lanes(self) -> dict[str, Any]:
        """Return what the lanes under the picture show."""
        return {"revision": self.revision, "song": heard(self.material.analysis)} | decided(self.performance.timeline)

    def state(self) -> dict[str, Any]:
        """Return where everything stands."""
        state = self.performance.state
        preset = self.stage.presets[state.preset]
        macros = {f"macro.{name}": value for name, value in macro_values(preset, self.stage.turned(state)).items()}
        return {
            "revision": self.revision,
            "preset": state.preset,
            "phases": [phase.name for phase in preset.phase],
            "controls": {name: control.rest for name, control in CONTROLS.items()} | macros | dict(state.controls),
            "macros": {f"macro.{macro.name}": macro.description for macro in preset.macros},
            "freeze": state.freeze,
            "hold": state.hold,
            "black": state.black,
            "changes": len(self.changes),
            "saved": self.saved,
        }

    # -- the transport -------------------------------------------------------------------------------------------------
    def clock(self, position: float, playing: bool) -> None:
        """Take note of where the page's song is."""
        moved = replace(self.engine.transport, position=self._inside(position), playing=playing, told=time.monotonic())
        self.engine.move(moved, jumped=False)

    def seek(self, position: float, playing: bool) -> tuple[int, float]:
        """Go to a song time. Returns the new epoch and where it really went (a long feedback shot restarts)."""
        timeline = self.engine.timeline
        wanted = self._inside(position)
        frame = min(nearest_frame(wanted, timeline.fps), timeline.frames - 1)
        start = self.engine.restart_of(frame)
        landed = wanted if start == frame else float(frame_time(start, timeline.fps))
        moved = replace(self.engine.transport, position=landed, playing=playing, told=time.monotonic())
        return self.engine.move(moved, jumped=True), landed

    def loop(self, section: tuple[float, float] | None) -> None:
        """Repeat a section, or none."""
        if section is not None:
            begin, end = sorted((self._inside(section[0]), self._inside(section[1])))
            section = (begin, end) if end - begin >= 0.25 else None
        moved = replace(self.engine.transport, loop=section, position=self.engine.transport.at(), told=time.monotonic())
        self.engine.move(moved, jumped=False)

    def _inside(self, position: float) -> float:
        return min(max(float(position), 0.0), self.material.track.duration)

    # -- changes -------------------------------------------------------------------------------------------------------
    def change(self, data: Mapping[str, Any]) -> int:
        """Fold in a live change. Returns the new epoch.

        Raises
        ------
        ReactiveError
            If it is none that can be made; then everything stays as it was.
        """
        try:
            change = check_change(dict(data))
        except (KeyError, TypeError, ValueError) as problem:
            raise TimelineError(str(problem), remedy="reload the page") from None
        change = replace(change, time=self._inside(change.time))
        if len(self.changes) >= MAX_CHANGES:
            raise TimelineError("the take is full", remedy="save it and begin another")
        if not self.changes or change.time >= self.changes[-1].time:
            kept, performance = self.changes, self.stage.apply(self.performance, change)
        else:
            # going back and turning something overwrites what was recorded of it from there on
            kept = [c for c in self.changes if c.time < change.time or not _same(c, change)]
            performance = self.stage.fold(self.first, [*kept, change])
        return self._become(sorted([*kept, change], key=lambda c: c.time), performance)

    def forget(self, back: bool = False) -> int:
        """Take back the last change, or all of them. Returns the new epoch."""
        changes = self.changes[:-1] if back else []
        return self._become(changes, self.stage.fold(self.first, changes))

    def _become(self, changes: list[Change], performance: Performance) -> int:
        epoch = self.engine.show(performance.timeline, performance.black)
        self.changes, self.performance, self.saved = changes, performance, not changes
        self.revision += 1
        return epoch

    def prompt_at(self, frame: int) -> str:
        """Return the text that weighs most at a frame."""
        timeline = self.performance.timeline
        columns, frame = timeline.columns, min(max(frame, 0), timeline.frames - 1)
        main = "prompt_to" if columns["weight"][frame] >= 0.5 else "prompt_from"
        return timeline.prompts[int(columns[main][frame])]

    # -- files ---------------------------------------------------------------------------------------------------------
    def take(self) -> Take:
        """Return what was done so far as a take."""
        options, track = self.material.options, self.material.track
        return Take(
            track.sha256, options.fps, options.seed, self.material.photo_names, self.first,
            {name: loaded.text for name, loaded in self.loaded.items()}, tuple(self.changes), self.material.video_names,
            dict(options.macros), {name: lines for name, lines in self.lyrics.items() if lines},
        )  # fmt: skip

    def save_take(self, path: Path) -> None:
        """Write the take."""
        save_take(self.take(), path)
        self.saved = True

    def reload(self) -> int | None:
        """Look whether a preset's file was saved anew, and if so show it. Returns the new epoch, or None.

        Raises
        ------
        PresetError
            If the new text is no preset; the old one goes on, and the error is raised once.
        """
        changed = False
        for name, loaded in self.loaded.items():
            try:
                written = loaded.path.stat().st_mtime_ns
            except OSError:
                # an editor that writes by renaming leaves a moment without a file
                continue
            if written == loaded.written:
                continue
            loaded.written = written
            text = read_preset(loaded.path)
            if text == loaded.text:
                continue
            preset = load_preset(loaded.path)
            loaded.text = text
            self.stage = self._stage({**self.stage.presets, name: preset})
            changed = True
        if not changed:
            return None
        changes = list(self.changes)
        while True:
            try:
                return self._become(changes, self.stage.fold(self.first, changes))
            except ReactiveError:
                # a change that the new text knows nothing of, such as a phase that is gone
                if not changes:
                    raise
                changes.pop()

    def close(self) -> None:
        """Stop the engine."""
        self.engine.stop()


def _same(one: Change, other: Change) -> bool:
    return one.kind == other.kind and one.kind in LATCHED and one.name == other.name


def line_of(error: ReactiveError) -> dict[str, Any]:
    """Return an error as the pages show it."""
    return {"t": "error", "what": error.what, "where": error.where, "remedy": error.remedy, "text": str(error)}
