"""Jobs that older versions began are read: what stands on disk keeps its names, whatever the code calls it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np

from reactive import Settings
from reactive.audio.corrections import Corrections
from reactive.audio.hear import HearingOptions
from reactive.render.plan import Plan
from reactive.render.request import RenderRequest, settings_from
from reactive.render.store.job import read_manifest, write_manifest

# written by version 0.1.0
OLD = """{
 "request": "9048a8b8b8593c82839968fb20c6593cfd3b5ec2",
 "wish": "ee5528d25ac9ba61f7961202b4dfc74bcf0f4693",
 "song": "/s/song.wav",
 "out": "/s/clip.mp4",
 "settings": {
  "preset": "loop-destroy", "fps": "24000/1001", "size": [192, 112], "imagine_size": null, "model": "ember", "loras": [],
  "vae": null, "guidance": null, "negative": "", "dtype": "auto", "compile": false, "steps": null, "sampler": null,
  "spacing": null, "prediction": null, "seed": 7, "start": 0.0, "duration": null, "photos": [], "videos": [],
  "background": "black", "imagine_rate": 0.0, "upscale": 1, "upscaler": "lanczos", "timeline": null, "take": null,
  "macros": {"storm": 0.5}, "lyrics": null, "telling": false, "shots": null, "title": "", "logo": null, "show_lyrics": false,
  "device": "auto", "batch": 0, "slices": 0, "lanes": 0, "threads": 0, "codec": "h264", "speed": "veryfast", "crf": 18,
  "overwrite": false,
  "wishes": {
   "corrections": {
    "bpm": 120.0, "offset_ms": null, "half": false, "double": false, "downbeat": 1, "meter": null, "beats": null,
    "downbeats": null
   },
   "forget": false, "stems": [], "midi": null, "markers": null, "settled": true, "save": true
  },
  "flash_safe": false, "recipe": true, "also": ["9:16"], "segment": 0, "pace": 0.0
 },
 "hashes": {
  "song": "0000000000000000000000000000000000000000000000000000000000000000",
  "model": "1111111111111111111111111111111111111111",
  "preset": "74234e98afe7498fb5daf1f36ac2d78acc339464",
  "grid": "e0c84f9e965b962e46a8e92aa53c92975f1d927b"
 },
 "environment": {"reactive": "0.1.0+x", "torch": "2.13", "threads": 2},
 "frames": 96, "segments": 0, "shots": 0, "batch": 8, "lanes": 4, "dtype": "float32"
}"""
SETTINGS = Settings(
    fps=Fraction(24000, 1001),
    size=(192, 112),
    seed=7,
    macros={"storm": 0.5},
    hearing=HearingOptions(Corrections(bpm=120.0, downbeat=1), settled=True, save=True),
    also=("9:16",),
)


def test_an_old_manifest_gives_the_settings_that_it_was_made_with(tmp_path: Path) -> None:
    write_manifest(tmp_path, json.loads(OLD))
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert settings_from(manifest["settings"], Settings) == SETTINGS


def test_a_request_writes_the_manifest_that_older_versions_wrote() -> None:
    old = json.loads(OLD)
    request = RenderRequest("0" * 64, SETTINGS, None, (), "1" * 40, old["environment"])
    plan = Plan(0, 96, 48, (), np.zeros(0, np.int64), ())
    chosen = {"batch": 8, "lanes": 4, "dtype": "float32"}
    # the hashes too: a job is gone on with only where they agree
    made = json.loads(json.dumps(request.manifest("/s/song.wav", Path("/s/clip.mp4"), plan, chosen)))
    # where a path begins is the system's
    assert made | {"song": old["song"], "out": old["out"]} == old
