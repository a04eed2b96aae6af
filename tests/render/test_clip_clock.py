"""A film that is song and source at once: its changes and clicks stay together in the finished clip, as seen and by `score`."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from reactive import Settings, make_clip
from reactive.cli import main
from reactive.score.sync import score_clip
from tests.media.made import FPS, SIZE, save_film
from tests.media.test_clock import CLOSE, click_times
from tests.toy import beat_song, write_song

# what is fed in is what is seen
PRESET = """version = 2
title = "Film"
loop = false
[[phase]]
name = "all"
mode = "video"
strength = "0.0"
prompts = ["a sea"]
[phase.switch]
every = "16 bars"
"""
EVENTS = (0.6, 1.2, 1.6, 2.4, 2.8)
CONTAINERS = [".mp4", ".mov", ".mkv", ".ts", ".avi", ".webm"]


def clip_of(folder: Path, film: Path) -> Path:
    """Make a clip of a film by the model that ships, which gives back black and white."""
    (folder / "film.toml").write_text(PRESET)
    settings = Settings.of(
        preset=str(folder / "film.toml"),
        videos=(film,),
        device="cpu",
        threads=1,
        batch=8,
        size=SIZE,
        imagine_size=SIZE,
        fps=Fraction(FPS),
    )
    return make_clip(film, folder / "clip.mp4", settings).output


@pytest.mark.parametrize(
    ("told", "exact"), [("29.97", "30000/1001"), ("23.976", "24000/1001"), ("59.94", "60000/1001")]
)
def test_a_clip_at_an_ntsc_rate_has_it_exactly_and_a_line_says_so(
    tmp_path: Path, toy_model: Path, told: str, exact: str
) -> None:
    song = write_song(tmp_path / "song.wav", beat_song(1, rate=96_000), 96_000)
    out = tmp_path / "clip.mp4"
    arguments = ["run", str(song), "--fps", told, "--size", "64x64", "--model", str(toy_model), "--steps", "1"]
    done = CliRunner().invoke(main, [*arguments, "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert f"{told} frames a second are taken as exactly {exact}" in done.stderr
    with av.open(str(out)) as container:
        pictures, sound = container.streams.video[0], container.streams.audio[0]
        assert (pictures.average_rate, pictures.base_rate) == (Fraction(exact), Fraction(exact))
        assert sound.codec_context.sample_rate == 48_000
        times = [frame.time for frame in container.decode(pictures)]
    assert times == pytest.approx([float(number / Fraction(exact)) for number in range(len(times))], abs=1e-6)


def changes_of(clip: Path) -> list[float]:
    """Return when the pictures of a clip turn black or white, by the presentation times in its file."""
    with av.open(str(clip)) as container:
        seen = [(float(f.time), f.to_ndarray(format="gray").mean() > 127) for f in container.decode(video=0)]
    # at its end it may run back from the film's
    return [time for (_, before), (time, white) in pairwise(seen) if white != before and time < EVENTS[-1] + 0.2]


def apart(clip: Path) -> float:
    changes, clicks = changes_of(clip), click_times(clip)
    assert len(changes) == len(clicks) == len(EVENTS)
    return max(abs(change - click) for change, click in zip(changes, clicks, strict=True))


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_flashes_and_clicks_of_any_container_meet_in_the_clip(tmp_path: Path, suffix: str) -> None:
    film = save_film(tmp_path / f"film{suffix}", seconds=3.2, event=EVENTS, held=True)
    clip = clip_of(tmp_path, film)
    assert apart(clip) < CLOSE
    assert abs(score_clip(clip).lag_ms) < 1000 * CLOSE
    # the film by itself is judged by the same clock
    assert abs(score_clip(film).lag_ms) < 1000 * CLOSE


@pytest.mark.parametrize("suffix", [suffix for suffix in CONTAINERS if suffix != ".avi"])
@pytest.mark.parametrize(("sound_from", "pictures_from"), [(0.44, 0.0), (0.0, 0.52)])
def test_what_begins_late_meets_in_the_clip_too(
    tmp_path: Path, suffix: str, sound_from: float, pictures_from: float
) -> None:
    film = save_film(
        tmp_path / f"film{suffix}",
        seconds=3.2,
        event=EVENTS,
        held=True,
        sound_from=sound_from,
        pictures_from=pictures_from,
    )
    clip = clip_of(tmp_path, film)
    assert apart(clip) < CLOSE
    assert np.diff(click_times(clip)) == pytest.approx(np.diff(EVENTS), abs=CLOSE)
