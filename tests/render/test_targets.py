"""Clips made for a place: the table, the options, and what the finished files hold."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from reactive.audio.grid import grid_of
from reactive.audio.hear import hear
from reactive.cli import main
from reactive.errors import OutputError
from reactive.media.loudness import song_loudness
from reactive.media.sound import open_track
from reactive.preset.library import open_preset
from reactive.render.decide import decide
from reactive.render.looping import plan_loop
from reactive.render.recipe import read_recipe
from reactive.render.sizes import crop_note
from reactive.render.targets import check_length, parse_targets, target_path, targets
from reactive.timeline.clock import nearest_frames
from tests.toy import beat_song, write_song

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "delivery.md"


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", beat_song(12))


def run(folder: Path, song: Path, model: Path, *more: str, code: int = 0) -> list[dict]:
    common = ("--model", str(model), "--steps", "1", "--device", "cpu", "--threads", "1", "--imagine-size", "64x64")
    done = CliRunner().invoke(main, ["run", str(song), *common, *more, "--json"])
    assert done.exit_code == code, done.output
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def test_the_table_is_whole_and_in_the_guide() -> None:
    assert {"youtube", "tiktok", "reels", "canvas", "story", "square", "4k", "stage"} == set(targets())
    guide = GUIDE.read_text(encoding="utf-8")
    for target in targets().values():
        assert all(side % 2 == 0 for side in target.size)
        assert target.source.startswith("https://") or target.name == "stage"
        assert f"`{target.name}`" in guide
        assert f"{target.size[0]}x{target.size[1]}" in guide
        for address in target.source.replace(" and ", " ").split():
            assert not address.startswith("https://") or address in guide


def test_places_are_parsed_and_lengths_checked() -> None:
    found = parse_targets("reels, youtube,reels")
    assert [target.name for target in found] == ["reels", "youtube"]
    assert target_path(Path("a/clip.mp4"), found[0], ".mp4") == Path("a/clip.reels.mp4")
    with pytest.raises(OutputError, match="not known"):
        parse_targets("myspace")
    (story,) = parse_targets("story")
    check_length(story, 30)
    for wrong in (61, 2):
        with pytest.raises(OutputError, match="than story takes"):
            check_length(story, wrong)


def test_each_place_is_imagined_in_its_own_shape(tmp_path: Path, song: Path) -> None:
    common = (
        "--model",
        "ember",
        "--steps",
        "1",
        "--device",
        "cpu",
        "--duration",
        "0.5",
        "--out-dir",
        str(tmp_path),
    )
    # a rate that is given goes before the places' own
    done = CliRunner().invoke(main, ["run", str(song), *common, "--for", "youtube,tiktok", "--fps", "12", "--json"])
    assert done.exit_code == 0, done.output
    wide, upright = map(json.loads, done.stdout.splitlines())
    assert [Path(one["output"]).name for one in (wide, upright)] == ["song.youtube.mp4", "song.tiktok.mp4"]
    assert [one["size"] for one in (wide, upright)] == ["1920x1080", "1080x1920"]
    shapes = [tuple(map(int, one["imagine_size"].split("x"))) for one in (wide, upright)]
    assert shapes[0][0] > shapes[0][1]
    assert shapes[0] == shapes[1][::-1]
    for one in (wide, upright):
        assert one["fps"] == "12"
        assert pictures(Path(one["output"])).shape[:1] == (6,)
        found = song_loudness(open_track(one["output"]))
        # as loud as the places want it, or as its peaks allow
        assert max(found.integrated + 14, found.true_peak + 1) == pytest.approx(0, abs=0.7)
        assert found.true_peak <= -1


def test_canvas_is_a_silent_loop_of_whole_bars(tmp_path: Path, song: Path, toy_model: Path) -> None:
    out = tmp_path / "loop.mp4"
    (made,) = run(tmp_path, song, toy_model, "--for", "canvas", "--size", "54x96", "-o", str(out))
    shown = pictures(out)
    with av.open(str(out)) as container:
        assert not container.streams.audio
    assert len(shown) == made["frames"]
    assert 3 <= made["duration"] <= 8
    first, last = (int(part) for part in str(read_recipe(out).settings["loop"]).split("-"))
    edges = nearest_frames(grid_of(hear(song).analysis).bars, Fraction(24))
    edges = edges[edges >= 0]
    assert edges[last] - edges[first - 1] == len(shown)
    steps = np.abs(np.diff(shown, axis=0)).mean(axis=(1, 2, 3))
    assert np.abs(shown[0] - shown[-1]).mean() <= max(np.sort(steps)[-3:].mean(), 8)
    (again,) = run(tmp_path, song, toy_model, "--for", "canvas", "--size", "54x96", "-o", str(out))
    assert again["already"]
    assert again["frames"] == len(shown)


def test_named_bars_loop_and_wrong_ones_are_refused(song: Path) -> None:
    analysis = hear(song).analysis
    timeline = decide(analysis, open_preset("drift").preset, fps=24)
    plan = plan_loop(analysis, timeline, "2-3")
    assert plan.bars == "2-3"
    assert plan.rendered == (plan.first - plan.lead, plan.stop)
    assert plan.lead > 0
    opening = plan_loop(analysis, timeline, "1-2")
    # without frames before it, those that follow are blended in
    assert (opening.lead > 0) != (opening.more > 0)
    assert plan_loop(analysis, timeline, "2").frames == pytest.approx(96, abs=3)
    with pytest.raises(OutputError, match="whole bars"):
        plan_loop(analysis, timeline, "90-91")
    with pytest.raises(OutputError, match="last"):
        plan_loop(analysis, timeline, "1-4", longest=3)


def test_a_clip_stays_below_the_size_and_keeps_its_recipe(tmp_path: Path, song: Path, toy_model: Path) -> None:
    common = ("--size", "128x128", "--duration", "3", "--crf", "0")
    (large,) = run(tmp_path, song, toy_model, *common, "-o", str(tmp_path / "large.mp4"))
    limit = Path(large["output"]).stat().st_size * 3 // 4
    size = f"{limit / 1e6:.4f}MB"
    (made,) = run(tmp_path, song, toy_model, *common, "-o", str(tmp_path / "small.mp4"), "--max-size", size)
    assert Path(made["output"]).stat().st_size <= limit
    assert len(pictures(tmp_path / "small.mp4")) == len(pictures(tmp_path / "large.mp4"))
    assert read_recipe(tmp_path / "small.mp4").settings["max_size"] == pytest.approx(limit, abs=100)
    assert not list(tmp_path.rglob("whole.*"))


def test_a_song_that_is_too_long_is_cut_around_its_drop(tmp_path: Path, song: Path, toy_model: Path) -> None:
    from reactive import Settings, make_clip

    chosen = Settings.of(model=str(toy_model), steps=1, device="cpu", imagine_size=(64, 64), size=(64, 64), longest=2.0)
    clip = make_clip(song, tmp_path / "clip.mp4", chosen)
    assert clip.frames == 48
    assert any("may last 2 s" in note for note in clip.notes)


def test_also_says_what_it_crops_or_imagines_anew(tmp_path: Path, song: Path) -> None:
    assert crop_note((768, 432), [], []) == ""
    note = crop_note((768, 432), [(432, 768)], [(9, 16)])
    assert "32 % of it stays in 9:16" in note
    common = (
        "--model",
        "ember",
        "--steps",
        "1",
        "--device",
        "cpu",
        "--duration",
        "0.5",
        "--out-dir",
        str(tmp_path),
    )
    done = CliRunner().invoke(main, ["run", str(song), *common, "--size", "128x64", "--also", "1:1,9:16!", "--json"])
    assert done.exit_code == 0, done.output
    wide, upright = map(json.loads, done.stdout.splitlines())
    assert any("50 % of it stays in 1:1" in note for note in wide["notes"])
    assert [Path(path).name for path in wide["also"]] == ["song.1x1.mp4"]
    assert Path(upright["output"]).name == "song.9x16.mp4"
    assert upright["size"] == "64x114"
    width, height = map(int, upright["imagine_size"].split("x"))
    assert height > width


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--for", "myspace"), "not known"),
        (("--for", "story", "--duration", "90"), "longer than story takes"),
        (("--loop", "0"), "names no bars"),
        (("--max-size", "5"), "is no size"),
        (("--also", "9x16!"), "is not a shape"),
        (("--max-size", "5MB", "--codec", "ffv1"), "can't limit ffv1"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, song: Path, toy_model: Path, options: tuple[str, ...], word: str) -> None:
    done = CliRunner().invoke(
        main, ["run", str(song), "--model", str(toy_model), "-o", str(tmp_path / "a.mkv"), *options]
    )
    assert done.exit_code != 0
    assert word in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
