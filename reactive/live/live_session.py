"""A preview of a live input: the sound, a conductor, and pictures of the newest frame.

Independent of the network, like `session`. There is no song, so no seeking, no working ahead, and no take.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reactive.errors import TimelineError
from reactive.live.conductor import Conductor, LiveFrame, left_out
from reactive.live.file_state import file_state_of
from reactive.live.latest_frame import LatestFrameRenderer
from reactive.live.marks import LiveOwner, Marks, load_marks, save_marks
from reactive.live.material import Studio
from reactive.live.online_analysis import LiveSignals
from reactive.live.quantise import QUANTISED, checked_unit
from reactive.live.session import LoadedPreset
from reactive.preset.library import open_preset
from reactive.preset.macros import macro_values
from reactive.preset.schema import Preset, parse_preset, read_preset
from reactive.preset.vocabulary import MACRO
from reactive.render.take import check_change
from reactive.timeline.controls import CONTROLS
from reactive.timeline.perform import Change, write_knobs

log = logging.getLogger(__name__)
LEVELS = ("rms", "low", "mid", "high", "kick", "onset", "energy.level", "phase.beat", "phase.bar")


@dataclass(frozen=True)
class SoundInput:
    """A source of sound: its name, blocks as they arrive, their sample rate, and their delay in seconds."""

    name: str
    blocks: Iterable[np.ndarray]
    sample_rate: int
    latency: float = 0.0
    close: Callable[[], None] = lambda: None


class LiveSession:
    """A live input and its pictures.

    Parameters
    ----------
    studio
        Model, photographs and videos.
    source
        The sound.
    made
        Called from a thread after each picture.
    presets
        Names or paths of the available presets; the first one is shown at the start.

    Attributes
    ----------
    notes
        One sentence for each preset with features that a live input does not support.
    """

    def __init__(self, studio: Studio, source: SoundInput, made: Callable[[], None], presets: tuple[str, ...]) -> None:
        self.studio = studio
        self.source = source
        self.loaded: dict[str, LoadedPreset] = {}
        checked: dict[str, Preset] = {}
        for source_name in presets:
            file = open_preset(source_name, option="--with" if checked else "--preset")
            name = source_name if source_name not in self.loaded else f"{source_name} ({len(self.loaded)})"
            checked[name] = file.preset
            self.loaded[name] = LoadedPreset(file.path, file.text)
        self.notes = tuple(
            f"{name}: a live input leaves out {', '.join(missing)}."
            for name, preset in checked.items()
            if (missing := left_out(preset))
        )
        first = checked[next(iter(checked))]
        # raises an error for unknown macros
        macro_values(first, studio.options.macros)
        self.signals = LiveSignals(source.sample_rate, studio.options.fps)
        self.conductor = Conductor(
            checked,
            self.signals,
            seed=studio.options.seed,
            photos=len(studio.sources.photos),
            videos=len(studio.sources.videos),
            macros=studio.options.macros,
        )
        for name, preset in reversed(checked.items()):
            studio.use_colours_of(preset, self.loaded[name].path.parent)
        self.renderer = LatestFrameRenderer(studio, made)
        self.revision = 0
        self._owner = LiveOwner(presets[0])
        self.marks = load_marks(self._owner)
        # a unit of `QUANTISE`
        self.quantise = "off"
        self.row: LiveFrame | None = None
        self.ended = False
        self.error: BaseException | None = None
        # commands and the listening thread both call the conductor
        self._lock = threading.Lock()
        self._stopping = False
        self._listener = threading.Thread(target=self._listen, name="reactive-listener", daemon=True)

    def start(self) -> None:
        """Start listening and imagining."""
        self.renderer.start()
        self._listener.start()

    def close(self) -> None:
        """Stop both, and close the input."""
        self._stopping = True
        self.source.close()
        self.renderer.stop()
        self._listener.join(timeout=5)
        self.signals.analyzer.spectrum.close()

    def _listen(self) -> None:
        try:
            for block in self.source.blocks:
                if self._stopping:
                    return
                heard = time.monotonic()
                with self._lock:
                    for frame in self.signals.steps(block):
                        self.row = self.conductor.step(frame)
                        playing = self.conductor.name
                        self.studio.use_colours_of(self.conductor.preset, self.loaded[playing].path.parent)
                        self.renderer.request(self.row, heard)
        except Exception as problem:
            log.exception("hearing failed")
            self.error = problem
        finally:
            self.ended = True

    @property
    def latency(self) -> dict[str, float]:
        """Seconds from a sound to its picture: of the device, the analysis (of onsets; beats are predicted), and imagining."""
        analysis = self.signals.analyzer.latency
        picture = self.renderer.age
        return {
            "input": self.source.latency,
            "ear": analysis,
            "picture": picture,
            "whole": self.source.latency + analysis + picture,
        }

    # -- messages for the pages ----------------------------------------------------------------------------------------
    def hello(self) -> dict[str, Any]:
        """Return the first message for a page."""
        studio, options = self.studio, self.studio.options
        return {
            "title": self.source.name,
            "live": True,
            "size": list(studio.size),
            "imagined": list(studio.imagined),
            "model": options.model.title,
            "steps": studio.model.steps,
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
            "presets": list(self.loaded),
        }

    def state(self) -> dict[str, Any]:
        """Return the state for a page."""
        with self._lock:
            conductor = self.conductor
            preset = conductor.preset
            knobs = {f"{MACRO}{name}": value for name, value in conductor.knobs().items()}
            return {
                "revision": self.revision,
                "preset": conductor.name,
                "phases": [phase.name for phase in preset.phase],
                "controls": {n: c.rest for n, c in CONTROLS.items()} | knobs | conductor.controls,
                "macros": {f"{MACRO}{macro.name}": macro.description for macro in preset.macros},
                **conductor.switches,
                "quantise": self.quantise,
                "snapshots": [one and one.name for one in self.marks.snapshots],
                "waiting": [
                    {"kind": change.kind, "name": change.name, "value": change.value, "time": None}
                    for change, _ in conductor.waiting
                ],
            }

    def status(self) -> dict[str, Any]:
        """Return speed, latency and the current signals."""
        with self._lock:
            now, row = self.signals.now, self.row
            levels = {name: round(self.signals.value(name), 3) for name in LEVELS}
        failed = self.renderer.error or self.error
        return {
            "rate": round(self.renderer.rate, 1),
            "latency": {name: round(value, 4) for name, value in self.latency.items()},
            "tempo": round(now.position.tempo, 1) if now and now.position.heard else None,
            "levels": levels,
            "phase": row.phase if row else 0,
            "prompt": row.prompts[1 if row.columns["weight"] >= 0.5 else 0] if row else "",
            "ended": self.ended,
            "failed": str(failed) if failed else None,
        }

    # -- commands ------------------------------------------------------------------------------------------------------
    def quantise_by(self, unit: object) -> None:
        """Set whether actions wait for the next beat or bar: a unit of `reactive.live.quantise.QUANTISE`.

        Raises
        ------
        TimelineError
            If there is no such unit.
        """
        self.quantise = checked_unit(unit)

    def change(self, data: Mapping[str, Any]) -> None:
        """Apply a change from now on, or from the next beat or bar on if it is quantised.

        Raises
        ------
        ReactiveError
            If the change is not possible.
        """
        try:
            change: Change = check_change({**data, "time": 0.0})
        except (KeyError, TypeError, ValueError) as problem:
            raise TimelineError(str(problem), remedy="reload the page") from None
        self._apply(change)

    def _apply(self, change: Change) -> None:
        with self._lock:
            if self.quantise == "off" or change.kind not in QUANTISED:
                self.conductor.change(change)
            else:
                self.conductor.change_on(change, self.quantise)
            self.revision += 1

    def store(self, number: int) -> None:
        """Store where all knobs stand in a slot, from 1; it is kept for the preset that was given first.

        Raises
        ------
        TimelineError
            If there is no such slot, or it can't be written.
        """
        knobs = {name: float(value) for name, value in self.state()["controls"].items()}
        self._keep(self.marks.stored(number, knobs))

    def recall(self, number: int) -> None:
        """Turn all knobs as a snapshot has them, now or on the next beat or bar.

        Raises
        ------
        TimelineError
            If the slot is empty.
        """
        self._apply(Change(0.0, "knobs", text=write_knobs(self.marks.snapshot(number).knobs)))

    def rename(self, number: int, name: str | None) -> None:
        """Rename a snapshot, or delete it if the name is None.

        Raises
        ------
        TimelineError
            If it is not there, the name is not one, or it can't be written.
        """
        self._keep(self.marks.renamed("snapshot", number, name))

    def _keep(self, marks: Marks) -> None:
        save_marks(self._owner, marks)
        self.marks = marks

    def next_phase(self) -> None:
        """Start the next phase, now or on the next beat or bar."""
        conductor = self.conductor
        self.change({"kind": "phase", "value": float((conductor.phase + 1) % len(conductor.preset.phase))})

    def next_preset(self) -> str:
        """Return the name of the loaded preset after the one that is played."""
        loaded = list(self.loaded)
        return loaded[(loaded.index(self.conductor.name) + 1) % len(loaded)]

    def tap(self, seconds: float | None = None) -> bool:
        """Register a tap on the beat; return whether taps set the tempo."""
        with self._lock:
            return self.signals.analyzer.beat_tracker.tap(time.monotonic() if seconds is None else seconds)

    def one(self) -> None:
        """Make the nearest beat the first of its bar."""
        with self._lock:
            self.signals.analyzer.beat_tracker.set_downbeat()

    def reload(self) -> bool:
        """Reload presets whose files were saved; return whether there was one.

        Raises
        ------
        PresetError
            If the new text is not a preset; the old one continues, and the error is raised once.
        """
        changed = False
        for name, loaded in self.loaded.items():
            now = file_state_of(loaded.path)
            if now is None or now == loaded.file_state:
                continue
            loaded.file_state = now
            text = read_preset(loaded.path)
            if text == loaded.text:
                continue
            preset = parse_preset(text, where=str(loaded.path))
            with self._lock:
                if self.conductor.name == name:
                    self.studio.use_colours_of(preset, loaded.path.parent)
                loaded.text, changed = text, True
                self.conductor.reload(name, preset)
                self.revision += 1
        return changed
