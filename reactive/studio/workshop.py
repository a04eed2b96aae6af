"""The page's commands on a project: each one validates, changes files and reports the new state. Independent of the network.

Commands are carried out one at a time in a thread. A command states the revision known to its page; if the project has
another one, nothing is changed and the page reloads.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactive.errors import ReactiveError
from reactive.files import partial_path, write_text
from reactive.live.web.protocol import number
from reactive.media.safe import plain
from reactive.studio import renders
from reactive.studio.project import (
    SHOTS,
    ConflictError,
    Project,
    ProjectError,
    changed_project,
    inside,
    is_project,
    new_project,
    open_project,
    save_project,
)
from reactive.studio.uploads import KINDS, free_place, safe_name

if TYPE_CHECKING:
    from reactive.studio.song import Decided, HeardSong

CAPTIONS = "photos/captions.tsv"
THUMB = 360
MAX_UNDO = 200
MAX_CAPTION = 300


@dataclass(frozen=True)
class Snapshot:
    """A state that undo restores: the project, the edits of single shots, and the grid; `what` was done to it then, in plain words."""

    project: Project
    shots: str | None
    corrections: Any
    what: str = ""


class Workshop:
    """An open project.

    Parameters
    ----------
    folder
        The project's folder; a project is created in it if there is none.
    tell
        Called from any thread with a message for all pages.
    """

    def __init__(self, folder: Path, tell: Callable[[dict[str, Any]], None] = lambda data: None) -> None:
        self.folder = folder
        self.tell = tell
        self.project = open_project(folder) if is_project(folder) else new_project(folder)
        self.song: HeardSong | None = None
        self.decided: Decided | None = None
        self.doing = ""
        self.began = time.monotonic()
        self.failed: dict[str, Any] | None = None
        self.undos: list[Snapshot] = []
        self.redos: list[Snapshot] = []
        self._what = ""
        self._lock = threading.RLock()
        self._lanes: tuple[int, dict[str, Any]] | None = None
        self._thumbs: dict[tuple[str, int, int], bytes] = {}
        self.known: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "preset": self._preset,
            "done": self._done,
            "settings": self._settings,
            "remove": self._remove,
            "caption": self._caption,
            "library": self._library,
            "grid": self._grid,
            "shot": self._shot,
            "undo": lambda data: self._back(self.undos, self.redos),
            "redo": lambda data: self._back(self.redos, self.undos),
        }

    # -- messages for the pages ----------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """Return the project's state."""
        project = self.project
        captions = self.captions()
        return {
            "t": "project",
            "revision": project.revision,
            "folder": self.folder.name or str(self.folder),
            "song": project.song,
            "preset": project.preset,
            # a preset that is not the first one was chosen, if not on this page
            "done": list(_with(project.done, "choose") if project.preset != Project().preset else project.done),
            "photos": [
                {"file": photo, "name": Path(photo).name, "caption": captions.get(Path(photo).name, "")}
                for photo in project.photos
            ],
            "films": [{"file": film, "name": Path(film).name} for film in project.videos],
            "settings": project.settings.model_dump(mode="json"),
            "heard": self.song is not None,
            "doing": self.doing,
            "passed": round(time.monotonic() - self.began, 1) if self.doing else 0,
            "failed": self.failed,
            "undo": len(self.undos),
            "redo": len(self.redos),
            "undoes": self.undos[-1].what if self.undos else "",
            "redoes": self.redos[-1].what if self.redos else "",
        }

    def queue(self) -> dict[str, Any]:
        """Return the state of the renders, newest first."""
        listed = [renders.render_for_page(self.folder, one) for one in renders.list_renders(self.folder)]
        return {"t": "renders", "renders": listed[::-1], "working": renders.is_working(self.folder)}

    def lanes(self) -> dict[str, Any]:
        """Return the data that the page draws: the song, and the timeline if the preset can be used.

        Raises
        ------
        ReactiveError
            If there is no song yet, or the preset can't be used with it.
        """
        from reactive.studio.song import song_for_page, timeline_lanes

        with self._lock:
            if self.song is None:
                raise ProjectError("has no song yet", where="the project", remedy="drop one first")
            if self._lanes is None or self._lanes[0] != self.project.revision:
                data: dict[str, Any] = {"revision": self.project.revision, "song": song_for_page(self.song)}
                if self.decided is not None:
                    data |= timeline_lanes(self.decided)
                self._lanes = self.project.revision, data
            return self._lanes[1]

    def captions(self) -> dict[str, str]:
        """Return the captions by the photographs' names."""
        with contextlib.suppress(OSError, ReactiveError):
            text = inside(self.folder, CAPTIONS).read_text(encoding="utf-8")
            rows = (line.split("\t", 1) for line in text.splitlines())
            return {row[0]: row[1] for row in rows if len(row) == 2}
        return {}

    # -- the song ------------------------------------------------------------------------------------------------------
    def hear(self) -> None:
        """Analyse the project's song, if there is one, and compute its timeline; pages get the progress.

        Other commands do not wait for the analysis.
        """
        with self._lock:
            self.song, self.decided, self.failed, self._lanes = None, None, None, None
            file = self.project.song
        if not file:
            return
        self._say("getting ready to listen")
        try:
            from reactive.studio.song import hear_song

            song = hear_song(inside(self.folder, file), self.wav, self._say)
            self._say("computing the timeline")
            with self._lock:
                if file == self.project.song:
                    self.song = song
                    self._decide()
        except ReactiveError as problem:
            self.failed = {"what": problem.what, "where": problem.where, "text": str(problem)}
        finally:
            self._say("")

    @property
    def wav(self) -> Path:
        """The song as WAV for browsers."""
        return _own_folder(self.folder) / "song.wav"

    def _say(self, doing: str) -> None:
        self.doing, self.began = doing, time.monotonic()
        self.tell(self.state())

    def _decide(self) -> None:
        from reactive.studio.song import decide_project

        assert self.song is not None
        self._lanes = None
        self.failed = None
        try:
            self.decided = decide_project(self.folder, self.project, self.song)
        except ReactiveError as problem:
            self.decided = None
            self.failed = {"what": problem.what, "where": problem.where, "text": str(problem)}

    # -- commands ------------------------------------------------------------------------------------------------------
    def carry_out(self, data: dict[str, Any]) -> None:
        """Carry out a page's command.

        Raises
        ------
        ConflictError
            If the page has another revision.
        ReactiveError, ValueError, KeyError, TypeError
            If it can't be done, or is not a command.
        """
        with self._lock:
            command = self.known[data["do"]]
            self._check_revision(int(number(data, "revision", 0, 2**53)))
            self._what = self._described(data)
            command(data)
            self.tell(self.state())

    def _check_revision(self, revision: int) -> None:
        """Reload the project if its file was changed, and refuse a command from a page with another revision."""
        now = open_project(self.folder)
        if now != self.project:
            self.project = now
            self._redecide()
            self.tell(self.state())
        if now.revision != revision:
            raise ConflictError(
                "was changed in another page meanwhile", where="the project", remedy="check it and try again"
            )

    def _described(self, data: Mapping[str, Any]) -> str:
        """Return what a command does, in plain words that follow "undone: "."""
        names = [shot.name for shot in self.decided.shots] if self.decided else []
        return described(data, names)

    def _redecide(self) -> None:
        if self.song is not None:
            self._decide()

    def _save(self, *, before: Snapshot | None = None, **values: Any) -> None:
        before = replace(before or self._snapshot(), what=self._what)
        self.project = save_project(
            self.folder, changed_project(self.project, **values), revision=self.project.revision
        )
        self.undos = [*self.undos, before][-MAX_UNDO:]
        self.redos = []
        self._redecide()

    def _snapshot(self) -> Snapshot:
        text = None
        if self.project.shots:
            with contextlib.suppress(OSError):
                text = inside(self.folder, self.project.shots).read_text(encoding="utf-8")
        return Snapshot(self.project, text, self.song.corrections if self.song else None)

    def _back(self, source: list[Snapshot], target: list[Snapshot]) -> None:
        if not source:
            return
        restored, now = source.pop(), self._snapshot()
        target.append(replace(now, what=restored.what))
        if restored.project.shots and restored.shots is not None:
            write_text(inside(self.folder, restored.project.shots), restored.shots)
        elif self.project.shots and restored.shots is None:
            inside(self.folder, self.project.shots).unlink(missing_ok=True)
        if self.song is not None and restored.corrections is not None and restored.corrections != now.corrections:
            from reactive.studio.song import with_corrections

            self.song = with_corrections(self.song, restored.corrections)
        # added files stay in the folder, so restored settings can refer to them
        kept = restored.project.model_copy(update={"done": self.project.done})
        self.project = save_project(self.folder, kept, revision=self.project.revision)
        self._redecide()

    def _preset(self, data: dict[str, Any]) -> None:
        from reactive.preset.library import open_preset
        from reactive.studio.project import preset_of

        name = _text(data, "name", 200)
        changed = changed_project(self.project, preset=name)
        # raises an error if the preset is not valid
        open_preset(preset_of(self.folder, changed.preset))
        # a macro is one of its preset
        settings = self.project.settings
        if name != self.project.preset:
            settings = settings.model_copy(update={"macros": {}})
        self._save(preset=name, settings=settings, done=_with(self.project.done, "choose"))

    def _done(self, data: dict[str, Any]) -> None:
        """Note that a person has been through a step; it is no change that undo takes back."""
        changed = changed_project(self.project, done=_with(self.project.done, _text(data, "step", 20)))
        if changed.done != self.project.done:
            self.project = save_project(self.folder, changed, revision=self.project.revision)

    def _settings(self, data: dict[str, Any]) -> None:
        settings = data["settings"]
        if not isinstance(settings, dict):
            raise ValueError("settings")
        merged = {**self.project.settings.model_dump(), **settings}
        changed = changed_project(self.project, settings=merged)
        from reactive.studio.project import render_settings

        # raises an error if the settings are not valid
        render_settings(self.folder, changed)
        self._save(settings=merged)

    def _remove(self, data: dict[str, Any]) -> None:
        file, project = _text(data, "file", 400), self.project
        if file not in (*project.photos, *project.videos):
            raise ProjectError("is not in the project", where=file[:80])
        # the file itself stays, so that undo works
        self._save(
            photos=tuple(photo for photo in project.photos if photo != file),
            videos=tuple(video for video in project.videos if video != file),
        )

    def _caption(self, data: dict[str, Any]) -> None:
        file, text = _text(data, "file", 400), plain(_text(data, "text", MAX_CAPTION)).strip()
        if file not in self.project.photos:
            raise ProjectError("is not in the project", where=file[:80])
        self._write_captions(self.captions() | {Path(file).name: " ".join(text.split())})
        self._save()

    def _write_captions(self, captions: Mapping[str, str]) -> None:
        place = inside(self.folder, CAPTIONS)
        place.parent.mkdir(exist_ok=True)
        write_text(place, "".join(f"{name}\t{text}\n" for name, text in sorted(captions.items()) if text))

    def _library(self, data: dict[str, Any]) -> None:
        """Add a bundled photograph to the project, with its caption."""
        self._add_file("photo", self._copied(_text(data, "name", 100)))

    def _copied(self, name: str) -> Path:
        """Copy a bundled photograph into the project's folder, unless it is there, and return its place."""
        from reactive.sources.imagery import find_picture

        entry = find_picture(name)
        place = inside(self.folder, f"photos/{entry.path.name}")
        place.parent.mkdir(exist_ok=True)
        if not place.exists():
            shutil.copyfile(entry.path, place)
        self._write_captions({place.name: entry.caption} | self.captions())
        return place

    def _grid(self, data: dict[str, Any]) -> None:
        from reactive.studio.song import corrected, kept_grid

        if self.song is None:
            raise ProjectError("has no song yet", where="the project", remedy="drop one first")
        before = self._snapshot()
        self.song = corrected(self.song, data)
        kept = kept_grid(self.song)
        beside = kept is not None and kept.parent == self.folder
        self._save(before=before, grid=kept.name if kept and beside else "")

    def _shot(self, data: dict[str, Any]) -> None:
        """Change the edits of shots in the project's shots file."""
        from reactive.preset.shots import Shots, save_shots
        from reactive.timeline.shot_edits import change_shots

        if self.song is None or self.decided is None:
            raise ProjectError("has no timeline yet", where="the project", remedy="drop a song and choose a preset")
        names = data["names"]
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError("names")
        track, edits = self.song.track, self.decided.edits
        if not edits.song_sha256:
            edits = Shots(
                version=edits.version, song_sha256=track.sha256, file_sha256=track.file_sha256, shot=edits.shot
            )
        lock = data.get("lock")
        changed = change_shots(
            self.decided.plain,
            self.song.analysis,
            edits,
            names,
            values=self._shot_values(data),
            roll=data.get("roll") is True,
            lock=lock if isinstance(lock, bool) else None,
            split=data.get("split") is True,
            merge=data.get("merge") is True,
            reset=data.get("reset") is True,
        )
        before = self._snapshot()
        file = self.project.shots or SHOTS
        place = inside(self.folder, file)
        place.parent.mkdir(exist_ok=True)
        save_shots(changed, place)
        self._save(before=before, shots=file)

    def _shot_values(self, data: dict[str, Any]) -> dict[str, object]:
        values: dict[str, object] = {}
        if "prompt" in data:
            text = plain(_text(data, "prompt", 1000)).strip()
            values["prompt"] = [text] if text else []
        if "seed" in data:
            values["seed"] = None if data["seed"] is None else int(number(data, "seed", 0, 2**53))
        if "beats" in data:
            values["beats"] = int(number(data, "beats", -64, 64))
        if "photo" in data:
            file = _text(data, "photo", 400)
            if file and file not in self.project.photos:
                raise ProjectError("is not in the project", where=file[:80], remedy="drop it first")
            # a shots file refers to pictures in its own folder
            values["photo"] = Path(file).name if file else ""
        if "library" in data:
            # for this shot only: other shots keep the pictures that they have
            values["photo"] = self._copied(_text(data, "library", 100)).name
        return values

    # -- files ---------------------------------------------------------------------------------------------------------
    def receive(self, partial: Path, name: str, kind: str) -> dict[str, Any]:
        """Add an uploaded file to the project after checking its contents; `partial` is moved or removed.

        Raises
        ------
        ReactiveError
            If its content does not match its name, or it can't be read.
        """
        with self._lock:
            try:
                if kind == "bundle":
                    return self._install(partial, name)
                self._check(partial, name, kind)
                place = self.folder / KINDS[kind].folder if KINDS[kind].folder else self.folder
                if place.is_symlink():
                    raise ProjectError("is a symbolic link", where=KINDS[kind].folder, remedy="make it a folder")
                place.mkdir(exist_ok=True)
                target = free_place(place, safe_name(name))
                os.replace(partial, target)
                now = open_project(self.folder)
                self.project = now
                self._what = f"adding {target.name}"
                self._add_file(kind, target)
                self.tell(self.state())
                return {"file": target.relative_to(self.folder).as_posix()}
            except OSError as problem:
                raise ProjectError(f"can't be written ({problem.strerror})", where=safe_name(name)) from None
            finally:
                partial.unlink(missing_ok=True)

    def _add_file(self, kind: str, place: Path) -> None:
        file = place.relative_to(self.folder).as_posix()
        project = self.project
        if kind == "song":
            # edits of another song's shots do not apply
            self.song, self.decided = None, None
            self._save(song=file, grid="", shots="" if file != project.song else project.shots, take="")
        elif kind == "photo":
            self._save(photos=tuple(dict.fromkeys((*project.photos, file))))
        else:
            self._save(videos=tuple(dict.fromkeys((*project.videos, file))))

    def _check(self, partial: Path, name: str, kind: str) -> None:
        """Open a file as its kind; errors name the uploaded file."""
        try:
            if kind == "song":
                from reactive.media.sound import open_track

                open_track(partial)
            elif kind == "photo":
                from reactive.media.picture import read_picture

                read_picture(partial)
            else:
                from reactive.media.film import open_film

                open_film(partial)
        except ReactiveError as problem:
            raise ProjectError(problem.what, where=safe_name(name), remedy=problem.remedy) from None

    def _install(self, partial: Path, name: str) -> dict[str, Any]:
        from reactive.preset.bundle import install

        try:
            made = install(partial)
        except ReactiveError as problem:
            remedy = problem.remedy.replace(" with --as NAME, or pass --replace", "")
            raise ProjectError(problem.what, where=safe_name(name), remedy=remedy) from None
        return {"preset": made.name, "fresh": made.fresh}

    def thumbnail(self, path: Path) -> bytes:
        """Return a small JPEG of a photograph or a film.

        Raises
        ------
        ReactiveError
            If it can't be read.
        """
        from itertools import islice

        from PIL import Image

        from reactive.media.video import rgb_frames

        status = path.stat()
        key = (str(path), status.st_mtime_ns, status.st_size)
        if (known := self._thumbs.get(key)) is not None:
            return known
        if path.suffix.lower() in KINDS["film"].suffixes:
            pictures = [picture for picture, _ in islice(rgb_frames(path, threads=1), 0, 25)]
            picture = pictures[-1]
        else:
            from reactive.media.picture import read_picture

            picture = read_picture(path)
        image = Image.fromarray(picture)
        image.thumbnail((THUMB, THUMB))
        written = io.BytesIO()
        image.save(written, "JPEG", quality=82)
        if len(self._thumbs) > 600:
            self._thumbs.clear()
        self._thumbs[key] = written.getvalue()
        return written.getvalue()

    # -- renders -------------------------------------------------------------------------------------------------------
    def render(self, data: dict[str, Any]) -> None:
        """Carry out a command on the queue: ``start``, ``pause``, ``resume``, ``cancel`` or ``remove``."""
        what = data["what"]
        with self._lock:
            if what == "start":
                if self.song is None:
                    raise ProjectError("is still being analysed", where="the song", remedy="wait a moment")
                settings = data.get("settings") or {}
                queued = changed_project(self.project, settings={**self.project.settings.model_dump(), **settings})
                from reactive.studio.project import render_settings

                # raises an error if the settings are not valid
                render_settings(self.folder, queued)
                renders.queue_render(self.folder, queued, asdict(self.song.corrections))
            else:
                name = _text(data, "id", 6)
                actions: dict[str, Callable[[], object]] = {
                    "pause": lambda: renders.pause_render(self.folder, name, "pause"),
                    "cancel": lambda: renders.pause_render(self.folder, name, "cancel"),
                    "resume": lambda: renders.resume_render(self.folder, name),
                    "remove": lambda: renders.remove_render(self.folder, name),
                }
                actions[what]()
        renders.start_worker(self.folder)
        self.tell(self.queue())

    def newest_picture(self, name: str) -> bytes | None:
        """Return the newest finished picture of a render as JPEG, or None if there is none yet."""
        from PIL import Image

        from reactive.media.video import rgb_frames

        render = renders.read_render(self.folder, name)
        segments = renders.job_of(self.folder, render) / "segments"
        if not segments.is_dir():
            return None
        files = [file for file in segments.glob("*.mkv") if not file.name.startswith(".")]
        if not files:
            return None
        newest = max(files, key=lambda file: file.stat().st_mtime_ns)
        picture = next((picture for picture, _ in rgb_frames(newest, threads=1)), None)
        if picture is None:
            return None
        image = Image.fromarray(picture)
        image.thumbnail((640, 640))
        written = io.BytesIO()
        image.save(written, "JPEG", quality=80)
        return written.getvalue()

    def estimate(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Estimate the time and disk space of a render with changed settings."""
        from reactive.render.rates import LOAD_SECONDS, expected_rate
        from reactive.studio.project import render_settings
        from reactive.timeline.clock import nearest_frame
        from reactive.video.codec import BYTES_A_PIXEL

        project = changed_project(self.project, settings={**self.project.settings.model_dump(), **changes})
        settings = render_settings(self.folder, project)
        output, encoding = settings.output, settings.encoding
        with self._lock:
            duration = self.song.track.duration if self.song else 0.0
        seconds = max(min(settings.duration or duration, duration - settings.start, output.longest or duration), 0.0)
        frames = nearest_frame(seconds, settings.fps)
        width, height = output.size or (768, 432)
        pixels = width * height * (1 + len(output.also))
        # of H.264 the quality decides the size; the job's pieces and the clip lie on the disk together
        quality = 2 ** ((18 - encoding.crf) / 6) if encoding.codec == "h264" else 1.0
        space = 2 * frames * pixels * BYTES_A_PIXEL[encoding.chosen.name] * quality
        found = expected_rate(settings)
        free = shutil.disk_usage(self.folder).free
        return {
            "seconds": round(frames / found[0] + LOAD_SECONDS, 1) if found else None,
            "frames": frames,
            "measured": found is not None and found[1],
            "bytes": int(space),
            "free": free,
            "fits": space < free,
            "length": round(seconds, 2),
        }


def described(data: Mapping[str, Any], names: Sequence[str] = ()) -> str:
    """Return what a page's command does, in plain words; `names` are those of the song's shots, which people count from 1."""
    name = str(data.get("name") or Path(str(data.get("file", ""))).name)[:80]
    whole = {
        "preset": f"the look “{name}”",
        "settings": "the settings",
        "remove": f"taking out {name}",
        "caption": f"the words below {name}",
        "library": f"adding {name}",
        "grid": "the correction of beats and parts",
    }
    if data.get("do") != "shot":
        return whole.get(str(data.get("do")), "")
    listed = data.get("names")
    first = listed[0] if isinstance(listed, list) and listed else ""
    shot = f"shot {names.index(first) + 1}" if first in names else "the shot"
    ways = {
        "prompt": f"the words of {shot}",
        "roll": f"painting {shot} anew",
        "photo": f"the photograph of {shot}",
        "library": f"the photograph of {shot}",
        "beats": f"where {shot} begins",
        "split": f"splitting {shot}",
        "merge": f"joining {shot} with the next",
        "reset": f"taking back the changes of {shot}",
        "seed": f"the painting of {shot}",
        "lock": f"{'keeping' if data.get('lock') is True else 'freeing'} {shot}",
    }
    return next((words for key, words in ways.items() if key in data), f"a change of {shot}")


@contextlib.contextmanager
def upload_place(folder: Path) -> Iterator[Path]:
    """Yield a hidden path in the project for an upload; it is removed at the end if it still exists."""
    place = _own_folder(folder)
    place.mkdir(exist_ok=True)
    partial = partial_path(place / "upload")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _own_folder(folder: Path) -> Path:
    """Return the hidden folder of the studio's own files, after checking that it is none elsewhere."""
    place = folder / ".studio"
    if place.is_symlink():
        raise ProjectError("is a symbolic link", where=".studio", remedy="remove it")
    return place


def _with(steps: tuple[str, ...], step: str) -> tuple[str, ...]:
    return tuple(sorted({*steps, step}))


def _text(data: Mapping[str, Any], key: str, longest: int) -> str:
    value = data[key]
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError(key)
    return value
