"""Run `reactive preview` of a project in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reactive.errors import OutputError
from reactive.live.web.listening import bound_socket
from reactive.preset.shots import Shots, save_shots
from reactive.studio.project import SHOTS, Project, ProjectError, inside, model_of, open_project, preset_of, song_of

STOP_SECONDS = 5


class PreviewProcess:
    """At most one running preview, which the studio's page shows in a frame.

    Parameters
    ----------
    host, port
        Where the studio listens. The preview listens at the same host, at the next port if that is free.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.process: subprocess.Popen[str] | None = None

    def open(self, folder: Path) -> dict[str, Any]:
        """Start a preview of a project in its current state, and return its port and token; a running preview is ended.

        Raises
        ------
        ProjectError
            If it can't be started.
        """
        self.close()
        command = [sys.executable, "-m", "reactive", "preview", *preview_arguments(folder, open_project(folder))]
        command += ["--host", self.host, "--port", str(self._free_port()), "--framed-by", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        try:
            data = json.loads(line)
            return {"port": int(data["port"]), "token": urlsplit(str(data["here"])).fragment}
        except (ValueError, KeyError, TypeError):
            what = json.loads(line)["error"]["what"] if '"error"' in line else "did not start"
            self.close()
            raise ProjectError(str(what), where="the preview", remedy="check the song and the preset") from None

    def _free_port(self) -> int:
        """Return the port after the studio's own, where a container lets it through, or 0 for any."""
        if self.port >= 65535:
            return 0
        try:
            bound_socket(self.host, self.port + 1).close()
        except OutputError:
            return 0
        return self.port + 1

    def close(self) -> None:
        """End the running preview."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None


def preview_arguments(folder: Path, project: Project) -> list[str]:
    """Return the arguments of `reactive preview` for a project.

    Raises
    ------
    ReactiveError
        If it has no song, or a file is outside the project.
    """
    settings = project.settings
    told = [str(song_of(folder, project)), "--json", "--no-open", "--takes", str(folder)]
    told += ["--preset", preset_of(folder, project.preset), "--model", model_of(folder, settings.model)]
    told += ["--fps", settings.fps, "--seed", str(settings.seed)]
    for option, value in (
        ("--size", settings.size),
        ("--imagine-size", settings.imagine_size),
        ("--steps", settings.steps),
    ):
        told += [option, str(value)] if value else []
    for option, files in (("--photo", project.photos), ("--video", project.videos)):
        for file in files:
            told += [option, str(inside(folder, file))]
    # a file without edits, if there are none yet: the preview follows it
    shots = inside(folder, project.shots or SHOTS)
    if not shots.exists():
        shots.parent.mkdir(exist_ok=True)
        save_shots(Shots(), shots)
    told += ["--shots", str(shots)]
    for name, place in settings.macros.items():
        told += ["--macro", f"{name}={place:g}"]
    return told
