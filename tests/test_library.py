"""The public Python interface: every name is listed, typed, documented and has a tested example; the steps make the same clip."""

from __future__ import annotations

import ast
import doctest
import inspect
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

import reactive
from reactive.errors import MediaError, OutputError, ReactiveError, TimelineError
from reactive.render import write
from reactive.render.imagine import Frames
from reactive.timeline.timeline import FEEDBACK, NO_SOURCE, Timeline
from reactive.video.codec import video_codec
from reactive.video.segment import SegmentEncoder, fitted
from tests.toy import beat_song, flat_timeline, write_song

ROOT = Path(__file__).resolve().parent.parent
NAMES = [name for name in reactive.__all__ if name != "__version__"]
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(reactive, name))]
SIZE = (64, 48)
PRESET = """version = 2
title = "Grounds"
walk = "0.3 + stem.tide"
[ground]
show = ["one.png"]
detail = "1"
colour = "1"
light = "0"
[[phase]]
name = "one"
prompts = ["a grey sea"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song of 4 s, a clip with its sound, and a preset with a photograph beside it."""
    home = tmp_path_factory.mktemp("library")
    song = write_song(home / "song.wav", beat_song(4))
    reactive.write_video(greys(48), home / "clip.mp4", fps=24, sound=song)
    (home / "preset").mkdir()
    (home / "preset" / "preset.toml").write_text(PRESET)
    noise = np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8)
    Image.fromarray(noise).resize((256, 192), Image.Resampling.BICUBIC).save(home / "preset" / "one.png")
    return home


@pytest.fixture(scope="module")
def analysis(folder: Path) -> reactive.Analysis:
    return reactive.analyze(reactive.open_track(folder / "song.wav"))


@pytest.fixture(scope="module")
def model(toy_model: Path) -> reactive.Model:
    return reactive.load_model(toy_model, steps=1)


def greys(count: int, *, step: int = 1) -> Iterator[np.ndarray]:
    for number in range(count):
        yield np.full((3, SIZE[1], SIZE[0]), 100 + step * (number % 50), np.uint8)


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def sound_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=-1)


def stubs() -> dict[str, str]:
    """Return the module from which the stubs import each name."""
    tree = ast.parse((ROOT / "reactive" / "__init__.pyi").read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname: node.module for node in found for alias in node.names if alias.asname == alias.name}


def test_every_public_name_is_listed_and_exists() -> None:
    assert {"open_track", "analyze", "decide", "load_model", "imagine", "write_video"} <= set(FUNCTIONS)
    assert set(NAMES) <= set(dir(reactive))
    assert not hasattr(reactive, "imagine_all")


def test_names_are_listed_before_anything_is_imported() -> None:
    script = "import sys, reactive; print('imagine' in dir(reactive), 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["True", "False"]


def test_the_stubs_have_the_same_names() -> None:
    told = stubs()
    assert sorted(told) == sorted(NAMES)
    for name, module in told.items():
        assert getattr(import_module(module), name) is getattr(reactive, name)
    assert (ROOT / "reactive" / "py.typed").is_file()


def test_the_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    for name, module in stubs().items():
        assert f"::: {module}.{name}\n" in page, name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_examples_of_a_docstring_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    function = getattr(reactive, name)
    found = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    examples = [test for test in found if test.examples]
    assert examples, f"{name} has no example"
    for test in examples:
        said: list[str] = []
        failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
        assert not failed, "".join(said)


def test_the_example_of_a_method_runs() -> None:
    (example,) = doctest.DocTestFinder(recurse=False).find(Frames.map, "Frames.map", globs={"Frames": Frames})
    assert example.examples
    said: list[str] = []
    assert not doctest.DocTestRunner().run(example, out=said.append).failed, "".join(said)


def test_a_preset_may_be_a_name_a_path_or_an_object(analysis: reactive.Analysis, folder: Path) -> None:
    by_path = reactive.decide(analysis, folder / "preset", fps=8)
    by_text = reactive.decide(analysis, str(folder / "preset" / "preset.toml"), fps="8")
    read = reactive.decide(analysis, reactive.load_preset(folder / "preset" / "preset.toml"), fps=Fraction(8))
    assert by_path.folder == by_text.folder == folder / "preset"
    assert read.folder is None
    for name, column in by_path.columns.items():
        assert (column == by_text.columns[name]).all()
        assert (column == read.columns[name]).all()
    assert reactive.decide(analysis, "drift", fps=29.97).fps == Fraction(30000, 1001)
    with pytest.raises(ReactiveError, match="preset: unknown preset"):
        reactive.decide(analysis, "no-such-preset")


def test_own_signals_can_be_used_in_a_preset(analysis: reactive.Analysis, folder: Path) -> None:
    times: list[np.ndarray] = []

    def tide(seconds: np.ndarray) -> np.ndarray:
        times.append(seconds)
        return (seconds >= 2).astype(float)

    plain, driven, given = (
        reactive.decide(analysis, folder / "preset", fps=8, signals=signals)
        for signals in (None, {"stem.tide": tide}, {"stem.tide": np.repeat([0.0, 1.0], 16)})
    )
    assert times[0].tolist() == (np.arange(32) / 8).tolist()
    assert plain.columns["speed"] == pytest.approx(0.3)
    assert driven.columns["speed"] == pytest.approx(np.repeat([0.3, 1.3], 16))
    assert (given.columns["speed"] == driven.columns["speed"]).all()


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        ({"tide": np.zeros(32)}, "Call it stem.tide"),
        ({"stem.tide": np.zeros(31)}, "each of 32 frames"),
        ({"stem.tide": np.full(32, 1.5)}, "leaves 0 to 1"),
        ({"stem.tide": np.full(32, np.nan)}, "leaves 0 to 1"),
    ],
)
def test_an_invalid_signal_is_refused(
    signals: dict[str, np.ndarray], words: str, analysis: reactive.Analysis, folder: Path
) -> None:
    with pytest.raises(TimelineError, match=words):
        reactive.decide(analysis, folder / "preset", fps=8, signals=signals)


def test_the_steps_make_the_frames_that_run_makes(
    folder: Path, analysis: reactive.Analysis, toy_model: Path, model: reactive.Model, tmp_path: Path
) -> None:
    settings = reactive.Settings.of(
        preset=str(folder / "preset"),
        model=str(toy_model),
        steps=1,
        device="cpu",
        threads=1,
        batch=4,
        codec="ffv1",
        fps=Fraction(8),
        imagine_size=SIZE,
        size=(128, 96),
        seed=5,
    )
    clip = reactive.make_clip(folder / "song.wav", tmp_path / "run.mkv", settings)
    torch.set_num_threads(1)
    timeline = reactive.decide(analysis, folder / "preset", fps=8, seed=5)
    frames = reactive.imagine(timeline, model, size="128x96", imagine_size=SIZE, batch=4)
    out = reactive.write_video(frames, tmp_path / "steps.mkv", sound=folder / "song.wav", codec="ffv1")
    ours, runs = decoded(out), decoded(clip.output)
    assert ours.shape == (32, 96, 128, 3)
    # the photograph beside the preset is visible
    assert ours.std() > 20
    assert (ours == runs).all()
    assert (sound_of(out) == sound_of(clip.output)).all()


def test_frames_without_a_ground_are_scaled_as_run_scales_them(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    with SegmentEncoder(tmp_path / "piece.mkv", fps=Fraction(8), size=(126, 94), codec=video_codec("ffv1")) as encoder:
        encoder.write(picture)
    assert (decoded(tmp_path / "piece.mkv")[0] == fitted(picture, (126, 94))).all()


def moving(frames: int, **columns: object) -> Timeline:
    return flat_timeline(frames, walk=np.arange(frames) * 0.2, **columns)


def test_an_excerpt_has_the_same_frames_as_the_full_clip(model: reactive.Model) -> None:
    source = np.repeat([NO_SOURCE, FEEDBACK, NO_SOURCE], 8)
    timeline = moving(24, source=source, shot=np.repeat(np.arange(3), 8), strength=0.5)
    told: list[tuple[str, int, int]] = []
    whole = reactive.imagine(timeline, model, size=(64, 64), batch=2, progress=lambda *what: told.append(what))
    assert (whole.fps, whole.first, whole.total, whole.size) == (24, 0, 24, (64, 64))
    frames = list(whole)
    assert [frame.shape for frame in frames] == [(3, 64, 64)] * 24
    assert told == [("imagining", done, 24) for done in range(1, 25)]
    assert any((a != b).any() for a, b in zip(frames, frames[1:], strict=False))
    part = reactive.imagine(timeline, model, size=(64, 64), batch=2, start=0.5, duration=0.25)
    assert (part.first, part.total) == (12, 6)
    assert all((a == b).all() for a, b in zip(part, frames[12:18], strict=True))


def test_frames_have_one_size_cropped_and_scaled(model: reactive.Model) -> None:
    timeline = moving(2)
    plain = np.stack(list(reactive.imagine(timeline, model, size=(64, 64))))
    wide = np.stack(list(reactive.imagine(timeline, model, size=(128, 64), imagine_size=(64, 64))))
    assert wide.shape == (2, 3, 64, 128)
    # scaled to twice the size, without the upper and the lower quarter
    assert wide[:, :, ::2, ::2].astype(float) == pytest.approx(plain[:, :, 16:48].astype(float), abs=60)
    assert abs(wide.mean() - plain[:, :, 16:48].mean()) < 2
    with pytest.raises(OutputError, match="in steps of 8 pixels"):
        reactive.imagine(timeline, model, imagine_size=(60, 60))


def test_sources_that_the_timeline_does_not_use_are_refused(model: reactive.Model) -> None:
    timeline = moving(2, photos=("a.png",))
    with pytest.raises(TimelineError, match=r"photos: the timeline was made for the photos: a\.png"):
        reactive.imagine(timeline, model)
    with pytest.raises(TimelineError, match="videos: none"):
        reactive.imagine(moving(2), model, videos=["b.mp4"])


class Light:
    """Own frames that get brighter with song time."""

    closed = False

    def number_at(self, seconds: Fraction) -> int:
        return int(seconds * 24)

    def at(self, seconds: Fraction) -> np.ndarray:
        return self.picture(self.number_at(seconds))

    def picture(self, number: int) -> np.ndarray:
        return np.full((64, 64, 3), min(30 * number, 255), np.uint8)

    def close(self) -> None:
        self.closed = True


def test_own_frames_are_a_source_and_are_not_closed(model: reactive.Model) -> None:
    light = Light()
    timeline = moving(6, source=0, strength=0.0, videos=("Light",))
    frames = np.stack(list(reactive.imagine(timeline, model, videos=[light], size=(64, 64))))
    from_noise = np.stack(list(reactive.imagine(moving(6), model, size=(64, 64))))
    assert (frames != from_noise).any()
    assert len({frame.tobytes() for frame in frames}) > 1
    assert not light.closed
    with pytest.raises(MediaError, match="can't lie beneath"):
        reactive.imagine(moving(6, ground=0, detail=1.0, videos=("Light",)), model, videos=[light])


def test_frames_are_imagined_lazily(model: reactive.Model) -> None:
    told: list[int] = []
    frames = reactive.imagine(
        moving(600), model, size=(64, 64), batch=2, progress=lambda stage, done, total: told.append(done)
    )
    next(frames)
    next(frames)
    frames.close()
    assert told == [1]
    assert list(frames) == []


def test_a_video_has_the_requested_rate_length_and_sound(folder: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    song = folder / "song.wav"
    out = reactive.write_video(
        greys(30),
        tmp_path / "v.mkv",
        fps=29.97,
        sound=str(song),
        start=1.0,
        codec="ffv1",
        progress=lambda *what: told.append(what),
    )
    with av.open(str(out)) as container:
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)
    assert (decoded(out) == np.stack([frame.transpose(1, 2, 0) for frame in greys(30)])).all()
    assert told == [("writing", done, 0) for done in range(1, 31)]
    # 30 frames from the one nearest to second 1
    first, last = (round(frame * Fraction(1001, 30000) * 44_100) for frame in (30, 60))
    heard, track = sound_of(out), beat_song(4)
    assert heard.shape[-1] == 2 * (last - first) or heard.shape[-1] == last - first
    samples = heard.reshape(-1, 2) if heard.shape[0] == 1 else heard.T
    assert samples[:, 0] / 2**15 == pytest.approx(track[first:last, 0], abs=1e-3)


def test_segments_are_joined_seamlessly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "_PIECE", 7)
    out = reactive.write_video(greys(30), tmp_path / "v.mp4", fps=12)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        times = [frame.pts * stream.time_base for frame in container.decode(video=0)]
    assert times == [Fraction(number, 12) for number in range(30)]
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


def test_frames_that_are_changed_keep_their_place_in_the_song(
    folder: Path, model: reactive.Model, tmp_path: Path
) -> None:
    timeline = flat_timeline(96, samples=4 * 44_100, sample_rate=44_100, walk=np.arange(96) * 0.1)
    frames = reactive.imagine(timeline, model, size=(64, 64), start=2, duration=0.25)
    out = reactive.write_video(
        frames.map(lambda frame: 255 - frame), tmp_path / "v.mkv", sound=folder / "song.wav", codec="ffv1"
    )
    plain = np.stack(list(reactive.imagine(timeline, model, size=(64, 64), start=2, duration=0.25)))
    assert (decoded(out) == 255 - plain.transpose(0, 2, 3, 1)).all()
    heard = sound_of(out)
    samples = heard.reshape(-1, 2) if heard.shape[0] == 1 else heard.T
    assert samples[:, 0] / 2**15 == pytest.approx(beat_song(4)[88_200 : 88_200 + 11_025, 0], abs=1e-3)


def breaking() -> Iterator[np.ndarray]:
    yield from greys(20)
    raise ValueError("the filter broke")


def test_an_existing_file_stays_when_the_frames_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "_PIECE", 7)
    out = tmp_path / "v.mp4"
    out.write_text("before")
    with pytest.raises(ValueError, match="broke"):
        reactive.write_video(breaking(), out, fps=24)
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
    assert out.read_text() == "before"


@pytest.mark.parametrize(
    ("frames", "options", "words"),
    [
        ([np.zeros((3, 48, 64), np.uint8)], {"fps": None}, "for instance fps=24"),
        ([], {}, "there are no frames"),
        ([np.zeros((48, 64, 3), np.uint8)], {}, "frame 0: is uint8"),
        ([np.zeros((3, 48, 64))], {}, "float64"),
        ([np.zeros((3, 47, 64), np.uint8)], {}, "both sides even"),
        ([np.zeros((3, 48, 64), np.uint8), np.zeros((3, 48, 62), np.uint8)], {}, "frame 1: is 62x48"),
        ([np.zeros((3, 48, 64), np.uint8)], {"codec": "theora"}, "Use one of h264"),
        ([np.zeros((3, 48, 64), np.uint8)], {"codec": "ffv1"}, r"\.mkv"),
    ],
)
def test_unwritable_outputs_are_refused_in_one_line(
    frames: list[np.ndarray], options: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=words) as refused:
        reactive.write_video(iter(frames), tmp_path / "v.mp4", **({"fps": 24} | options))
    assert len(str(refused.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_start_after_the_end_of_the_song_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="within the song"):
        reactive.write_video(greys(3), tmp_path / "v.mp4", fps=24, sound=folder / "song.wav", start=9)
    with pytest.raises(OutputError, match="made from"):
        reactive.write_video(greys(3), folder / "clip.mp4", fps=24, sound=folder / "clip.mp4")


def test_changed_frames_close_their_source() -> None:
    left: list[str] = []

    def pictures() -> Iterator[np.ndarray]:
        try:
            while True:
                yield np.zeros((3, 16, 16), np.uint8)
        finally:
            left.append("closed")

    frames = Frames(pictures(), fps=Fraction(24), first=0, total=9, size=(16, 16))
    changed = frames.map(lambda picture: picture + 1)
    assert next(changed).max() == 1
    changed.close()
    assert left == ["closed"]
    assert list(frames) == []
