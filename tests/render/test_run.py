"""Complete renders with a model of toy width, read back from the finished file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from reactive import Settings, make_clip
from reactive.errors import MediaError, ModelError, OutputError, PresetError, ReactiveError, TimelineError
from reactive.score.sync import score_clip
from tests.toy import RATE, beat_song, clicks, write_song

CLICK_PRESET = """
version = 1
title = "Clicks"
walk = "0.05"
[lens]
zoom = "1 + 0.3 * decay(onset, 0.12)"
[[phase]]
name = "one"
prompts = ["a grey sea"]
"""


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams.video[0])])


def settings(toy_model: Path, **changes) -> Settings:
    chosen = {"model": str(toy_model), "steps": 1, "device": "cpu", "threads": 2, "batch": 4, "seed": 3}
    return Settings.of(**(chosen | changes))


@pytest.fixture(scope="module")
def short_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(tmp_path_factory.mktemp("song") / "short.wav", beat_song(10))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, toy_model: Path, short_song: Path):
    out = tmp_path_factory.mktemp("clip") / "clip.mkv"
    return make_clip(short_song, out, settings(toy_model, codec="ffv1"))


def leftovers(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.rglob("*") if "partial" in entry.name)


def test_a_clip_is_complete(whole) -> None:
    assert whole.frames == 240
    assert whole.output.is_file()
    assert len(pictures(whole.output)) == 240
    assert whole.prompts_used >= 4
    assert leftovers(whole.output.parent) == []


def test_the_same_recipe_gives_the_same_frames_bit_for_bit(
    tmp_path: Path, toy_model: Path, short_song: Path, whole
) -> None:
    again = make_clip(short_song, tmp_path / "again.mkv", settings(toy_model, codec="ffv1"))
    assert np.array_equal(pictures(again.output), pictures(whole.output))
    other = make_clip(short_song, tmp_path / "other.mkv", settings(toy_model, codec="ffv1", seed=4, duration=1.0))
    assert not np.array_equal(pictures(other.output), pictures(whole.output)[:24])


@pytest.mark.parametrize(("start", "duration"), [(0.0, 1.5), (2.2, 1.1), (7.0, 2.0), (9.9, 5.0)])
def test_an_excerpt_has_exactly_the_frames_of_the_full_clip(
    tmp_path: Path, toy_model: Path, short_song: Path, whole, start: float, duration: float
) -> None:
    part = make_clip(
        short_song, tmp_path / "part.mkv", settings(toy_model, codec="ffv1", start=start, duration=duration)
    )
    first = round(start * 24)
    shown = pictures(part.output)
    assert np.array_equal(shown, pictures(whole.output)[first : first + len(shown)])
    assert len(shown) == min(round(duration * 24), 240 - first)


def test_a_saved_timeline_renders_the_same_clip(tmp_path: Path, toy_model: Path, short_song: Path, whole) -> None:
    from reactive import analyze, build_timeline, get_preset, open_track, save_timeline

    track = open_track(short_song)
    timeline = build_timeline(
        analyze(track), get_preset("loop-destroy"), samples=track.samples, fps=Fraction(24), seed=3
    )
    save_timeline(timeline, tmp_path / "t.json")
    again = make_clip(short_song, tmp_path / "t.mkv", settings(toy_model, codec="ffv1", timeline=tmp_path / "t.json"))
    difference = pictures(again.output).astype(int) - pictures(whole.output).astype(int)
    # the file stores seven digits
    assert np.abs(difference).mean() < 0.1
    other = write_song(tmp_path / "other.wav", beat_song(9))
    with pytest.raises(TimelineError, match="another song"):
        make_clip(other, tmp_path / "x.mkv", settings(toy_model, codec="ffv1", timeline=tmp_path / "t.json"))


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001)])
def test_the_picture_moves_with_the_clicks(tmp_path: Path, toy_model: Path, fps: Fraction) -> None:
    times = np.cumsum(np.random.default_rng(1).uniform(0.3, 0.8, 22))
    song = write_song(tmp_path / "clicks.wav", clicks(times, seconds=13))
    (tmp_path / "preset.toml").write_text(CLICK_PRESET)
    clip = make_clip(song, tmp_path / "clicks.mp4", settings(toy_model, preset=str(tmp_path / "preset.toml"), fps=fps))
    score = score_clip(clip.output)
    assert abs(score.lag_ms) <= 500 / float(fps)
    assert score.correlation > 0.4
    assert score.frames == clip.frames


def test_a_photograph_is_used(tmp_path: Path, toy_model: Path, short_song: Path) -> None:
    y, x = np.mgrid[0:300, 0:500]
    photo = np.stack([x % 256, y % 256, (x + y) % 256], axis=2).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "band.jpg")
    preset = tmp_path / "preset.toml"
    preset.write_text(
        'version = 1\ntitle = "P"\nstrength = "0.0"\n[[phase]]\nname = "one"\nmode = "photo"\nprompts = ["a sea"]\n'
    )
    options = {"preset": str(preset), "codec": "ffv1", "duration": 0.5}
    with_photo = make_clip(
        short_song, tmp_path / "with.mkv", settings(toy_model, photos=(tmp_path / "band.jpg",), **options)
    )
    without = make_clip(short_song, tmp_path / "without.mkv", settings(toy_model, **options))
    shown = pictures(with_photo.output)
    # at strength 0 only the photograph is visible, so nothing moves
    assert np.array_equal(shown[0], shown[-1])
    assert not np.array_equal(shown[0], pictures(without.output)[0])


def test_silence_gives_a_calm_clip_and_a_message(tmp_path: Path, toy_model: Path) -> None:
    song = write_song(tmp_path / "silence.wav", np.zeros(4 * RATE, np.float32))
    clip = make_clip(song, tmp_path / "silence.mkv", settings(toy_model, codec="ffv1"))
    assert clip.silent
    shown = pictures(clip.output).astype(int)
    assert np.abs(np.diff(shown, axis=0)).mean(axis=(1, 2, 3)).max() < 20


def test_a_tenth_of_a_second_makes_a_clip(tmp_path: Path, toy_model: Path) -> None:
    song = write_song(tmp_path / "tiny.wav", clicks([0.02], seconds=0.1))
    clip = make_clip(song, tmp_path / "tiny.mp4", settings(toy_model))
    assert clip.frames == 3
    assert len(pictures(clip.output)) == 3


def failing(kind: type[ReactiveError], song: Path, out: Path, chosen: Settings) -> str:
    before = {entry.name for entry in out.parent.iterdir()} if out.parent.is_dir() else set()
    with pytest.raises(kind) as caught:
        make_clip(song, out, chosen)
    after = {entry.name for entry in out.parent.iterdir()} if out.parent.is_dir() else set()
    assert before == after
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_errors_are_reported_in_one_line_and_leave_no_files(tmp_path: Path, toy_model: Path, short_song: Path) -> None:
    ours = settings(toy_model)
    out = tmp_path / "out.mp4"
    assert "no such file" in failing(MediaError, tmp_path / "missing.wav", out, ours)
    assert "did you mean" in failing(PresetError, short_song, out, settings(toy_model, preset="loop-destory")).lower()
    assert "no such model" in failing(ModelError, short_song, out, settings(toy_model, model="nothing"))
    assert "does not exist" in failing(OutputError, short_song, tmp_path / "no" / "out.mp4", ours)
    assert "can't stand" in failing(OutputError, short_song, tmp_path / "out.avi", ours)
    assert "made from" in failing(
        OutputError, write_song(tmp_path / "s.mkv", beat_song(1), format="WAV"), tmp_path / "s.mkv", ours
    )
    assert "not within" in failing(TimelineError, short_song, out, settings(toy_model, start=99.0))
    assert "steps of 8" in failing(OutputError, short_song, out, settings(toy_model, imagine_size=(66, 64)))
    out.write_bytes(b"precious")
    assert "exists already" in failing(OutputError, short_song, out, ours)
    assert out.read_bytes() == b"precious"


def test_an_encoder_error_stops_the_render_and_keeps_the_old_clip(
    tmp_path: Path, toy_model: Path, short_song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reactive.video import segment

    def full(self, picture):
        raise segment.output_error(self.path, OSError(28, "No space left on device"))

    out = tmp_path / "out.mp4"
    out.write_bytes(b"precious")
    chosen = settings(toy_model, overwrite=True)
    with monkeypatch.context() as patch:
        patch.setattr(segment.SegmentEncoder, "write", full)
        with pytest.raises(OutputError, match="No space left"):
            make_clip(short_song, out, chosen)
    assert out.read_bytes() == b"precious"
    # ticks imagined before the error are not lost, and the same command resumes
    assert {entry.name for entry in tmp_path.iterdir()} <= {"out.mp4", ".reactive"}
    assert make_clip(short_song, out, chosen).frames > 0
    assert out.read_bytes() != b"precious"
