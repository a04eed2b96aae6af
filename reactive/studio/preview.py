"""Run `reactive preview` of a project in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from reactive.studio.project import ProjectError, model_of, open_project, preset_of, song_of

STOP_SECONDS = 5


class PreviewProcess:
    """At most one running preview."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def open(self, folder: Path) -> dict[str, Any]:
        """Start a preview of a project in its current state, and return its address; a running preview is ended.

        Raises
        ------
        ProjectError
            If it can't be started.
        """
        self.close()
        project = open_project(folder)
        settings = project.settings
        command = [
            sys.executable,
            "-m",
            "reactive",
            "preview",
            str(song_of(folder, project)),
            "--json",
            "--no-open",
            "--port",
            "0",
            "--takes",
            str(folder),
            "--preset",
            preset_of(folder, project.preset),
            "--fps",
            settings.fps,
            "--seed",
            str(settings.seed),
            "--model",
            model_of(folder, settings.model),
        ]
        for option, value in (
            ("--size", settings.size),
            ("--imagine-size", settings.imagine_size),
            ("--steps", settings.steps),
        ):
            command += [option, str(value)] if value else []
        for option, files in (("--photo", project.photos), ("--video", project.videos)):
            for file in files:
                command += [option, str(folder / file)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        try:
            data = json.loads(line)
            return {"url": str(data["here"])}
        except (ValueError, KeyError, TypeError):
            what = json.loads(line)["error"]["what"] if '"error"' in line else "did not start"
            self.close()
            raise ProjectError(str(what), where="the preview", remedy="check the song and the preset") from None

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
