"""The same frames give the same pictures in a preview, in a live input and in a rendered clip."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reactive.audio.analysis import analyze
from reactive.diffusion.imaginer import Imaginer
from reactive.diffusion.models.load import load_model
from reactive.diffusion.scene import Sources, as_source
from reactive.live.conductor import Conductor, LiveFrame, left_out
from reactive.live.latest_frame import LatestFrameRenderer
from reactive.live.material import PreviewOptions, SongMaterial, Studio
from reactive.live.online_analysis import LiveSignals
from reactive.live.stream_timeline import StreamTimeline
from reactive.media.sound import open_track
from reactive.preset.library import get_preset, shipped_names
from reactive.preset.schema import load_preset
from reactive.render.imagine import imagine
from reactive.timeline.timeline import FEEDBACK, Timeline, build_timeline
from tests.live.streams import RATE, beat_stream, blocks

FPS = Fraction(24)
SIZE = (64, 64)
MODES = ("walk", "photo", "video", "feedback")
PRESET = """
version = 2
title = "One mode"
walk = "0.4 + decay(kick, 0.2)"
strength = "0.6"
[lens]
zoom = "1 + 0.2 * decay(kick, 0.15)"
[camera]
zoom = "1.3"
rotate = "4"
[colour]
palette = ["#101030", "#e0b040"]
strength = "0.5"
[feedback]
rate = 12
colour = 0.4
[[phase]]
name = "one"
bars = [1, 4]
mode = "{mode}"
prompts = ["a sea", "a tree", "a red door"]
[phase.switch]
every = "1 beat"
how = "cut"
"""


class Film:
    """Own frames: a picture that moves to the left with the song's time."""

    def __init__(self) -> None:
        noise = np.random.default_rng(5).integers(0, 255, (8, 64, 3), np.uint8)
        self.wide = np.kron(noise, np.ones((8, 8, 1), np.uint8))

    def at(self, seconds: Fraction) -> np.ndarray:
        return self.picture(self.number_at(seconds))

    def number_at(self, seconds: Fraction) -> int:
        return int(seconds * 24)

    def picture(self, number: int) -> np.ndarray:
        left = 2 * number % (self.wide.shape[1] - SIZE[0])
        return np.ascontiguousarray(self.wide[:, left : left + SIZE[0]])

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (*SIZE, 3), np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def studio(toy_model: Path, photo: Path) -> Studio:
    options = PreviewOptions.of(model=str(toy_model), steps=1, fps=FPS, photos=(photo,), videos=(Path("film"),))
    still = as_source(np.array(Image.open(photo)))
    model = load_model(str(toy_model), device="cpu", steps=1)
    return Studio(options, model, Sources({0: still}, {1: Film()}), SIZE, SIZE, "cpu")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    path = tmp_path / "preset.toml"
    path.write_text(PRESET.replace("{mode}", request.param))
    return request.param, path


def sources_of(mode: str) -> set[int]:
    """Return the values of the column `source` in a mode, with one photograph (0) and one film (1)."""
    return {"walk": {-1}, "photo": {0}, "video": {1}, "feedback": {FEEDBACK}}[mode]


def whole_stream(rows: list[LiveFrame]) -> Timeline:
    """Return the timeline of a clip with the same frames as a live stream."""
    texts: dict[str, int] = {}
    columns: dict[str, list[float]] = {}
    for row in rows:
        stream = StreamTimeline(FPS, ("photo.png",), ("film",))
        stream.append(row)
        one = stream.timeline()
        numbers = [texts.setdefault(prompt, len(texts)) for prompt in one.prompts]
        for name, values in one.columns.items():
            value = numbers[int(values[0])] if name in ("prompt_from", "prompt_to") else values[0]
            columns.setdefault(name, []).append(row.shot if name == "shot" else value)
    table = {name: np.array(values, one.columns[name].dtype) for name, values in columns.items()}
    return replace(one, columns=table, prompts=tuple(texts), negatives=())


def test_a_live_input_shows_the_pictures_of_the_clip(mode: tuple[str, Path], studio: Studio) -> None:
    name, preset = mode
    signals = LiveSignals(RATE, FPS)
    conductor = Conductor({"p": load_preset(preset)}, signals, seed=3, photos=1, videos=1)
    rows = [conductor.step(frame) for block in blocks(beat_stream(3)[0]) for frame in signals.steps(block)]
    assert {row.columns["source"] for row in rows} == sources_of(name)
    renderer = LatestFrameRenderer(studio, lambda: None)
    live = []
    for row in rows:
        renderer.hear(row)
        live.append(renderer.imagine(row))
    # a batch of one, like the live input's
    clip = list(Imaginer(studio.model, whole_stream(rows), studio.sources, size=SIZE, batch=1).frames())
    assert len(clip) == len(live) == len(rows) > 60
    # between two ticks a live input does not know the next one yet; every cut is a tick
    begun, compared = 0, 0
    for frame, row in enumerate(rows):
        if frame and row.shot != rows[frame - 1].shot:
            begun = frame
        if name == "feedback" and (frame - begun) % 2:
            continue
        compared += 1
        assert torch.equal(live[frame], torch.from_numpy(clip[frame])), (frame, begun)
    assert compared >= 30
    assert len({picture.tobytes() for picture in clip}) > 20
    assert begun > 0


def test_a_preview_shows_the_pictures_of_the_clip(
    mode: tuple[str, Path], studio: Studio, beat_wav: Path, photo: Path
) -> None:
    name, preset = mode
    track = open_track(beat_wav)
    analysis = analyze(track)
    timeline = build_timeline(
        analysis,
        load_preset(preset),
        samples=analysis.samples,
        fps=FPS,
        seed=3,
        photos=(photo.name,),
        videos=("Film",),
    )
    frames = slice(24, 48)
    assert set(timeline.columns["source"][frames].tolist()) == sources_of(name)
    material = SongMaterial(**vars(studio), track=track, analysis=analysis, raw=analysis)
    preview = list(material.imaginer(timeline).frames(24, 48))
    clip = list(
        imagine(
            timeline, studio.model, photos=[photo], videos=[Film()], size=SIZE, imagine_size=SIZE, start=1, duration=1
        )
    )
    assert len(preview) == len(clip) == 24
    assert len({picture.tobytes() for picture in clip}) > 12
    # another batch shape rounds differently, and feedback propagates the difference
    apart = [int(np.abs(one.astype(int) - other).max()) for one, other in zip(preview, clip, strict=True)]
    assert max(apart) <= (24 if name == "feedback" else 2)


def test_a_preview_shows_the_grounds_of_the_clip(tmp_path: Path, studio: Studio, beat_wav: Path, photo: Path) -> None:
    Image.open(photo).save(tmp_path / "one.png")
    Image.open(photo).rotate(90).save(tmp_path / "two.png")
    ground = '[ground]\nshow = ["one.png", "two.png"]\nevery = "1 beat"\ndetail = "1 - 0.5 * decay(kick, 0.3)"\n'
    (tmp_path / "preset.toml").write_text(PRESET.replace("{mode}", "walk").replace("[lens]", ground + "[lens]"))
    track = open_track(beat_wav)
    analysis = analyze(track)
    timeline = build_timeline(
        analysis,
        load_preset(tmp_path / "preset.toml"),
        samples=analysis.samples,
        fps=FPS,
        seed=3,
    )
    timeline = replace(timeline, folder=tmp_path)
    assert set(timeline.columns["ground"][24:48].tolist()) == {0, 1}
    bare_studio = {**vars(studio), "options": PreviewOptions.of(model="toy", steps=1, fps=FPS)}
    material = SongMaterial(**bare_studio, track=track, analysis=analysis, raw=analysis, ground_folders=[tmp_path])
    preview = list(material.imaginer(timeline).frames(24, 48))
    settings = {"size": SIZE, "imagine_size": SIZE, "start": 1, "duration": 1}
    clip = list(imagine(timeline, studio.model, **settings))
    bare = replace(timeline, columns=timeline.columns | {"ground": np.full(timeline.frames, -1)})
    without = list(imagine(bare, studio.model, **settings))
    # another batch shape rounds differently
    assert max(int(np.abs(one.astype(int) - other).max()) for one, other in zip(preview, clip, strict=True)) <= 2
    assert min(float(np.abs(one.astype(int) - other).mean()) for one, other in zip(clip, without, strict=True)) > 1


def test_features_that_a_live_input_lacks_are_reported(tmp_path: Path) -> None:
    assert left_out(load_preset_text(tmp_path, PRESET.replace("{mode}", "walk"))) == ()
    more = '[ground]\n[[pin]]\nat = "drop 1"\nprompt = "a lamp"\n[lyrics]\nhow = "cut"\n[overlay]\nlyrics = true\n[film]\nrate = "2"\n'
    assert left_out(load_preset_text(tmp_path, PRESET.replace("{mode}", "walk") + more)) == (
        "grounds under the pictures",
        "pinned prompts",
        "prompts from the song's words",
        "titles and logo",
        "cuts of films to the music",
    )
    assert all("grounds under the pictures" in left_out(get_preset(name)) for name in shipped_names())


def load_preset_text(folder: Path, text: str) -> object:
    (folder / "more.toml").write_text(text)
    return load_preset(folder / "more.toml")
