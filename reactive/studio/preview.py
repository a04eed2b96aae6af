"""The preview of a project, in a process of its own: the same page as `reactive preview` opens."""

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
        """Start a preview of a project as it is now, and return its address; one that ran before ends.

        Raises
        ------
        ProjectError
            If it can't be started.
        """
        self.close()
        project = open_project(folder)
        chosen = project.settings
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
            chosen.fps,
            "--seed",
            str(chosen.seed),
            "--model",
            model_of(folder, chosen.model),
        ]
        for option, value in (
            ("--size", chosen.size),
            ("--imagine-size", chosen.imagine_size),
            ("--steps", chosen.steps),
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
            raise ProjectError(str(what), where="the preview", remedy="look at the song and the preset") from None

    def close(self) -> None:
        """End the preview that runs."""
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
