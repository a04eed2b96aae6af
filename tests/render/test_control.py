"""Pictures whose shapes are kept, from the command line and from presets: files, weights, lanes, resuming, recipes and takes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from reactive import Settings, decide, load_model, make_clip, open_track
from reactive.audio.hear import hear
from reactive.cli import main
from reactive.diffusion.controls import (
    ControlPictures,
    control_files,
    control_notes,
    edges,
    subject_files,
)
from reactive.diffusion.imaginer import open_imaginer
from reactive.errors import MediaError, PresetError
from reactive.preset.control import control_pictures, joined_control, split_control
from reactive.preset.schema import parse_preset
from reactive.render.recipe import read_recipe
from reactive.render.repeat import repeat_clip
from reactive.render.take import Take, load_take, save_take
from reactive.timeline.control_pictures import CONTROLS, control_kinds, control_names, with_control_pictures
from reactive.timeline.file import load_timeline, save_timeline
from reactive.timeline.perform import Change, Stage
from reactive.timeline.timeline import FEEDBACK, Timeline
from tests.diffusion.control_toys import save_control, shapes
from tests.render.test_run import pictures
from tests.toy import flat_timeline, save_video

PRESET = """version = 2
title = "shapes"
{top}
[[phase]]
name = "one"
bars = [1, 1]
mode = "photo"
prompts = ["a sea", "a tree"]
[[phase]]
name = "two"
bars = [1, 1]
prompts = ["a fire", "a hill"]
{phase}
"""
TOP = '[[control]]\nkind = "canny"\nweight = "0.2 + gate(bar, 0.3)"'
PHASE = '[[phase.control]]\nkind = "depth"\nfile = "depth.png"\nweight = 1.5'


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)


@pytest.fixture
def place(tmp_path: Path, toy_model: Path) -> Path:
    """A folder with two pictures, two control networks for the toy model, and a preset that uses both."""
    for seed, kind in ((5, "canny"), (6, "depth")):
        save_control(tmp_path / kind, toy_model, seed=seed, strength=2.0)
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "preset.toml").write_text(PRESET.format(top=TOP, phase=PHASE))
    Image.fromarray(shapes(1, 80, 80)).save(tmp_path / "band.png")
    for folder in (tmp_path, tmp_path / "shapes"):
        Image.fromarray(shapes(2)).save(folder / "depth.png")
    return tmp_path


def networks(place: Path) -> tuple[str, ...]:
    return tuple(f"{kind}={place / kind}" for kind in ("canny", "depth"))


def settings(place: Path, model: Path, **more: Any) -> Settings:
    chosen = {"preset": "drift", "duration": 0.5, "codec": "ffv1", "dtype": "float32", "steps": 1, "fps": 12}
    return Settings.of(model=str(model), control_models=networks(place), **{**chosen, **more})


def test_kinds_files_and_weights_are_told_apart(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert split_control("canny") == ("canny", "", "1")
    assert split_control("canny:0.3") == ("canny", "", "0.3")
    assert split_control("canny: 0.3 + onset.low") == ("canny", "", "0.3 + onset.low")
    assert split_control("canny:onset.low") == ("canny", "", "onset.low")
    assert split_control("depth:depth.png") == ("depth", "depth.png", "1")
    assert split_control("depth:elsewhere/film.mp4") == ("depth", "elsewhere/film.mp4", "1")
    assert split_control("depth:a/depth.png: 0.3 + drop") == ("depth", "a/depth.png", "0.3 + drop")
    assert split_control("depth:C:\\band\\depth.png") == ("depth", "C:\\band\\depth.png", "1")
    assert split_control("depth:C:\\band\\depth.png:0.5") == ("depth", "C:\\band\\depth.png", "0.5")
    (place / "odd:1").write_bytes(b"")
    assert split_control("depth:odd:1") == ("depth", "odd:1", "1")
    for text in ("canny::0.5", "depth:depth.png:build"):
        assert joined_control(*split_control(text)) == text
    found = control_pictures(["depth:a/depth.png:build", "canny"])
    assert [(one.kind, one.file, one.weight) for one in found] == [("depth", "depth.png", "build"), ("canny", "", "1")]
    for weight in ("nothing", "macro.mine", "1 +"):
        with pytest.raises(PresetError, match=r"--control canny:"):
            control_pictures([f"canny:{weight}"])
    with pytest.raises(PresetError, match="no kind of picture"):
        control_pictures(["Canny:1"])


def test_a_presets_controls_have_weights_by_phase(beat_wav: Path, place: Path) -> None:
    analysis = hear(beat_wav).analysis
    timeline = decide(analysis, place / "shapes", fps=12)
    assert timeline.controls == ("canny:", "depth:depth.png")
    first, second = (timeline.columns[name] for name in CONTROLS[:2])
    one = timeline.columns["phase"] == 0
    # phases meet at blends, so a few frames lie between
    assert {round(value, 3) for value in first[one].tolist()} >= {0.2, 1.2}
    assert (second[~one] == 1.5).any()
    assert (first[~one] == 0).any()
    assert (second[one] == 0).any()
    assert not any(timeline.columns[name].any() for name in CONTROLS[2:])
    told = CliRunner().invoke(main, ["preset", "show", str(place / "shapes")]).output
    assert "control    canny, by 0.2 + gate(bar, 0.3)" in told
    assert "control    depth of depth.png, by 1.5" in told
    more = decide(analysis, place / "shapes", fps=12, controls=["edges:third.png:0.3 + 9 * beat"])
    assert more.controls == ("canny:", "edges:third.png", "depth:depth.png")
    assert more.columns["control_2"].min() >= 0.3
    assert more.columns["control_2"].max() == 2.0


def test_too_many_controls_or_two_of_one_name_are_refused() -> None:
    preset = parse_preset(PRESET.format(top=TOP, phase=PHASE), where="p")
    assert control_kinds(preset) == ("canny", "depth")
    assert control_kinds(with_control_pictures(preset, control_pictures(["edges:e.png"]))) == ("canny", "depth")
    with pytest.raises(PresetError, match="given twice"):
        with_control_pictures(preset, control_pictures(["depth:elsewhere/depth.png"]))
    with pytest.raises(PresetError, match="at most 4"):
        with_control_pictures(preset, control_pictures([f"depth:{number}.png" for number in range(3)]))
    pair = control_pictures(["depth:1.png", "depth:2.png"])
    assert len(control_names(with_control_pictures(preset, pair))) == 4
    for top, what in (
        (TOP.replace('"canny"', '"depth"\nfile = "../depth.png"'), "plain file name"),
        (f"{TOP}\n{TOP}", "there twice"),
        (TOP.replace("weight", "strength"), "unknown key control"),
        (TOP.replace('"canny"', '"Canny"'), "kind"),
    ):
        with pytest.raises(PresetError, match=what):
            parse_preset(PRESET.format(top=top, phase=""), where="p")


def test_a_timeline_with_controls_is_a_file_of_version_seven(tmp_path: Path, beat_wav: Path, place: Path) -> None:
    timeline = decide(hear(beat_wav).analysis, place / "shapes", fps=12)
    save_timeline(timeline, tmp_path / "t.json")
    again = load_timeline(tmp_path / "t.json")
    assert again.controls == timeline.controls
    assert all(np.allclose(again.columns[name], timeline.columns[name]) for name in CONTROLS)
    text = (tmp_path / "t.json").read_text()
    assert '"version": 7' in text
    for wrong in (
        text.replace('["canny:", "depth:depth.png"]', '["canny:"]'),
        text.replace('"depth:depth.png"', '"depth:../depth.png"'),
        text.replace('"canny:"', '"canny"'),
    ):
        (tmp_path / "t.json").write_text(wrong)
        result = CliRunner().invoke(main, ["run", str(beat_wav), "--timeline", str(tmp_path / "t.json")])
        assert result.exit_code == 1
        assert "control" in result.stderr
    # a file without controls is as it was
    save_timeline(flat_timeline(4), tmp_path / "plain.json")
    assert '"version": 1' in (tmp_path / "plain.json").read_text()


def test_edges_are_those_of_the_shapes() -> None:
    shown = np.full((64, 96, 3), 20, np.uint8)
    shown[16:48, 24:72] = 220
    found = edges(shown)
    assert found.shape == shown.shape
    assert set(np.unique(found)) == {0, 255}
    rows, columns = np.nonzero(found[:, :, 0])
    # one line of pixels along the sides of the rectangle
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 48, 23, 72) or (
        abs(rows.min() - 16) <= 1 and abs(rows.max() - 47) <= 1 and abs(columns.min() - 24) <= 1
    )
    assert not found[20:44, 28:68].any()
    assert not found[:12].any()
    assert 2 * (32 + 48) * 0.9 < len(rows) < 2 * (32 + 48) * 1.1


def seen(
    timeline: Timeline, place: Path, *, photos: tuple[Path, ...] = (), videos: tuple[Path, ...] = (), frame: int = 0
) -> list[np.ndarray | None]:
    """The control pictures of a frame at 64 by 64, with nothing loaded before."""
    subjects = subject_files(timeline, photos, videos, [place])
    files = control_files(timeline, subjects, [], [place])
    made = ControlPictures(timeline, files, subjects, {}, {}, size=(64, 64))
    found = [one.picture for one in made.at(frame, Fraction(frame, 24))]
    made.close()
    return found


def test_a_picture_is_found_in_what_is_fed_in_or_lies_beneath(place: Path) -> None:
    band = place / "band.png"
    own = np.asarray(Image.open(band).resize((64, 64), Image.Resampling.LANCZOS))
    photo = {"photos": ("band.png",), "control_1": 1.0}
    for kind, wanted in (("canny", edges(own)), ("tile", own)):
        (found,) = seen(flat_timeline(2, source=0, controls=(f"{kind}:",), **photo), place, photos=(band,))
        assert found is not None
        assert np.array_equal(found, wanted)
    # a ground that has come closer is seen closer
    ground = {"ground": 0, "detail": 0.5, **photo}
    (still,) = seen(flat_timeline(2, controls=("tile:",), **ground), place, photos=(band,))
    (close,) = seen(flat_timeline(2, controls=("tile:",), ground_zoom=1.5, **ground), place, photos=(band,))
    assert still is not None
    assert close is not None
    assert np.abs(still.astype(int) - own).max() <= 1
    # the rectangle is larger by as much
    assert 1.8 < (close > 150).sum() / (still > 150).sum() < 2.4
    # nothing is fed in
    assert seen(flat_timeline(2, controls=("canny:",), **photo), place, photos=(band,)) == [None]


def test_ready_pictures_are_named_or_beside_what_is_fed_in(place: Path) -> None:
    band = place / "band.png"
    photo = {"photos": ("band.png",), "source": 0, "control_1": 1.0}
    told = flat_timeline(2, controls=("depth:depth.png",), **photo)
    depth = np.asarray(Image.open(place / "depth.png"))
    (found,) = seen(told, place, photos=(band,))
    assert found is not None
    assert np.array_equal(found, depth)
    # ready edges are not searched for edges
    (ready,) = seen(replace(told, controls=("edges:depth.png",)), place, photos=(band,))
    assert ready is not None
    assert np.array_equal(ready, depth)
    beside = replace(told, controls=("depth:",))
    with pytest.raises(MediaError, match=r"band\.png: has no picture of the kind depth"):
        seen(beside, place, photos=(band,))
    Image.fromarray(shapes(3)).save(place / "band.depth.png")
    (found,) = seen(beside, place, photos=(band,))
    assert found is not None
    assert np.array_equal(found, shapes(3))
    with pytest.raises(MediaError, match=r"none\.png: is not beside the preset"):
        seen(replace(told, controls=("depth:none.png",)), place, photos=(band,))
    # a control without weight needs no file
    assert seen(flat_timeline(2, controls=("depth:none.png",), photos=("band.png",)), place, photos=(band,)) == [None]


def test_a_ready_picture_is_cropped_as_its_photograph(place: Path) -> None:
    wide = np.zeros((64, 160, 3), np.uint8)
    wide[:, 120:] = np.random.default_rng(1).integers(0, 255, (64, 40, 3))
    Image.fromarray(wide).save(place / "wide.png")
    # half as large, and each column has its own brightness
    ramp = np.repeat(np.arange(0, 240, 3, dtype=np.uint8)[None, :, None], 32, axis=0).repeat(3, axis=2)
    Image.fromarray(ramp).save(place / "wide.depth.png")
    timeline = flat_timeline(
        2, source=0, photos=("wide.png",), controls=("tile:", "depth:"), control_1=1.0, control_2=1.0
    )
    photo, depth = seen(timeline, place, photos=(place / "wide.png",))
    assert photo is not None
    assert depth is not None
    # what stands out lies on the right, and the depth map is that of the right side
    assert photo[:, -20:].any()
    assert depth[:, -1].mean() > 230
    # a picture of another shape is cropped by itself
    Image.fromarray(ramp[:, :32]).save(place / "wide.depth.png")
    _, square = seen(timeline, place, photos=(place / "wide.png",))
    assert square is not None
    assert square[:, -1].mean() < 100


def test_a_films_depth_is_read_at_the_films_time(place: Path) -> None:
    moving = [shapes(number // 6) for number in range(24)]
    film, _ = (save_video(place / name, moving) for name in ("band.mp4", "band.depth.mp4"))
    timeline = flat_timeline(24, source=0, videos=("band.mp4",), controls=("depth:", "tile:"), control_1=1, control_2=1)
    first, same = seen(timeline, place, videos=(film,))
    later, _ = seen(timeline, place, videos=(film,), frame=18)
    assert first is not None
    assert same is not None
    assert later is not None
    assert np.array_equal(first, same)
    assert not np.array_equal(first, later)


def test_a_control_without_anything_to_see_is_said_once() -> None:
    weight = np.array([0, 1, 1, 0], float)
    timeline = flat_timeline(4, controls=("canny:", "depth:d.png"), control_1=weight, control_2=1)
    assert control_notes(timeline) == [
        "--control canny counts nowhere: no photograph, film or ground is there; name one with canny:FILE"
    ]
    half = flat_timeline(4, source=[-1, 0, -1, -1], photos=("a",), controls=("canny:",), control_1=weight)
    assert "not in 1 of 4 frames" in control_notes(half)[0]
    assert control_notes(flat_timeline(4, source=0, photos=("a",), controls=("canny:",), control_1=weight)) == []


def shown(model: Any, timeline: Timeline, place: Path, *, batch: int = 3, **more: Any) -> np.ndarray:
    photos = [place / name for name in timeline.photos]
    files = control_files(timeline, subject_files(timeline, photos, (), [place]), [], [place])
    with open_imaginer(
        model, timeline, photos, size=(64, 64), batch=batch, controls=files, folders=[place], pace=1.0, **more
    ) as imaginer:
        return np.stack(list(imaginer.frames())).astype(int)


def test_weights_count_frame_by_frame_in_any_batch_and_in_lanes(toy_model: Path, place: Path) -> None:
    model = load_model(toy_model, steps=1, dtype="float32", controls=networks(place))
    weights = np.array([0, 0, 0.5, 1.0, 0, 0])
    told = {"controls": ("depth:depth.png", "canny:depth.png")}
    none, some = (shown(model, flat_timeline(6, control_1=w, **told), place) for w in (0, weights))
    differs = (none != some).any(axis=(1, 2, 3))
    assert differs.tolist() == [False, False, True, True, False, False]
    other = shown(model, flat_timeline(6, control_2=weights, **told), place)
    assert (other[3] != some[3]).any()
    # neither the neighbours' weights nor their pictures matter
    turned = flat_timeline(6, control_1=np.array([1.0, 0.2, 0.5, 1.0, 0, 0]), **told)
    assert np.array_equal(shown(model, turned, place)[2:], some[2:])
    # two feedback shots side by side; the second one is left alone
    lanes = {"source": FEEDBACK, "shot": np.repeat([0, 1], 6), "strength": 0.6, "cuts": (6,), **told}
    plain = shown(model, flat_timeline(12, **lanes), place)
    led = shown(model, flat_timeline(12, **lanes, control_1=np.repeat([0.0, 1.0, 0.0, 0.0], 3)), place)
    differs = (plain != led).any(axis=(1, 2, 3))
    assert not differs[:3].any()
    assert differs[4:6].all()
    assert not differs[6:].any()
    # a palette of feedback takes the controls too
    kept = flat_timeline(6, source=FEEDBACK, strength=0.6, control_1=1.0, feedback_colour=0.7, **told)
    assert shown(model, kept, place).std() > 1


def test_joins_have_the_controls_of_both_shots(toy_model: Path, place: Path) -> None:
    model = load_model(toy_model, steps=1, dtype="float32", controls=networks(place))
    Image.fromarray(shapes(4, 80, 80)).save(place / "other.png")
    joins = {"shot": np.repeat([0, 1], 4), "cuts": (4,), "seed": np.repeat([7, 8], 4), "controls": ("canny:",)}
    for join in ("dissolve", "morph"):
        ramp = np.array([0, 0, 0.4, 0.8, 0, 0, 0, 0])
        fed = {"photos": ("band.png", "other.png"), "source": np.repeat([0, 1], 4), "strength": 0.8}
        plain, led, whole = (
            shown(model, flat_timeline(8, **joins, **fed, **{join: ramp}, control_1=weight), place)
            for weight in (0.0, np.repeat([0.0, 1.0], 4), 1.0)
        )
        assert (plain != led).any(axis=(1, 2, 3)).tolist() == [False, False, *[True] * 6]
        assert np.array_equal(led[4:], whole[4:])
        assert (led[3] != whole[3]).any()


def test_a_clip_carries_its_controls_and_is_made_again(
    tmp_path: Path, toy_model: Path, beat_wav: Path, place: Path
) -> None:
    (place / "aside").mkdir()
    Image.fromarray(shapes(7)).save(place / "aside" / "lines.png")
    told = (f"edges:{place / 'aside' / 'lines.png'}:0.9",)
    chosen = settings(place, toy_model, controls=told, preset=str(place / "shapes"), photos=(place / "band.png",))
    (place / "shapes" / "preset.toml").write_text(PRESET.format(top="", phase=PHASE))
    clip = make_clip(beat_wav, tmp_path / "clip.mkv", chosen.changed(duration=3.0))
    recipe = read_recipe(clip.output)
    assert [control.name for control in recipe.controls] == ["lines.png", "depth.png"]
    assert recipe.settings["controls"] == ["edges:lines.png:0.9"]
    assert recipe.settings["control_models"] == ["canny=canny", "depth=depth"]
    assert str(tmp_path) not in recipe.model_dump_json()
    again = repeat_clip(
        recipe,
        beat_wav,
        tmp_path / "again.mkv",
        places=[place, place / "aside"],
        model=str(toy_model),
        control_models=networks(place),
    )
    assert again.differs == ()
    assert np.array_equal(pictures(again.clip.output), pictures(clip.output))
    without = chosen.changed(duration=3.0, controls=())
    assert not np.array_equal(pictures(make_clip(beat_wav, tmp_path / "w.mkv", without).output), pictures(clip.output))


def test_a_clip_is_resumed_with_its_controls_and_another_picture_is_another_clip(
    tmp_path: Path, toy_model: Path, beat_wav: Path, place: Path
) -> None:
    job = tmp_path / "job"
    chosen = settings(
        place,
        toy_model,
        controls=(f"depth:{place / 'depth.png'}:1",),
        job=job,
        overwrite=True,
        duration=1.0,
        segment=4,
    )
    first = pictures(make_clip(beat_wav, tmp_path / "clip.mkv", chosen).output)
    segments = sorted((job / "segments").iterdir())
    assert len(segments) == 3
    segments[1].unlink()
    (tmp_path / "clip.mkv").unlink()
    resumed = CliRunner().invoke(main, ["resume", str(job)])
    assert resumed.exit_code == 0, resumed.output
    assert np.array_equal(pictures(tmp_path / "clip.mkv"), first)
    Image.fromarray(shapes(9)).save(place / "depth.png")
    other = pictures(make_clip(beat_wav, tmp_path / "clip.mkv", chosen).output)
    assert not np.array_equal(other, first)


def test_a_take_has_the_controls_of_both_its_presets(
    tmp_path: Path, beat_wav: Path, toy_model: Path, place: Path
) -> None:
    depth = TOP.replace('"canny"', '"depth"\nfile = "depth.png"')
    one, two = PRESET.format(top=TOP, phase=""), PRESET.format(top=depth, phase="")
    changes = (Change(1.0, "preset", "two", 0.0),)
    song = open_track(beat_wav).sha256
    presets = {"one": one, "two": two}
    take = Take(song, Fraction(12), 4, ("band.png",), "one", presets, changes, controls=("edges:third.png:0.4",))
    save_take(take, tmp_path / "a.take.json")
    assert load_take(tmp_path / "a.take.json") == take
    heard = hear(beat_wav)
    stage = Stage(
        heard.analysis,
        heard.track.samples,
        take.fps,
        4,
        take.checked_presets(),
        photos=take.photos,
        control_pictures=control_pictures(take.controls),
    )
    timeline = stage.fold("one", changes).timeline
    assert timeline.controls == ("canny:", "edges:third.png", "depth:depth.png")
    assert timeline.columns["control_1"][:12].min() >= 0.2
    assert not timeline.columns["control_1"][12:].any()
    assert (timeline.columns["control_2"] == 0.4).all()
    assert not timeline.columns["control_3"][:12].any()
    assert timeline.columns["control_3"][12:].min() >= 0.2
    Image.fromarray(shapes(3)).save(tmp_path / "third.png")
    chosen = settings(place, toy_model, take=tmp_path / "a.take.json", duration=1.5, photos=(place / "band.png",))
    assert len(pictures(make_clip(beat_wav, tmp_path / "take.mkv", chosen).output)) == 18


def test_the_preview_shows_them(beat_wav: Path, toy_model: Path, place: Path) -> None:
    from reactive.live.material import PreviewOptions, load_material

    options = PreviewOptions.of(
        preset=str(place / "shapes"),
        model=str(toy_model),
        control_models=networks(place),
        photos=(place / "band.png",),
        steps=1,
        fps=12,
        dtype="float32",
    )
    material = load_material(beat_wav, options)
    material.ground_folders = [place / "shapes"]
    timeline = decide(material.analysis, place / "shapes", fps=12, photos=[place / "band.png"])
    imaginer = material.imaginer(timeline)
    assert imaginer.controls is not None
    assert imaginer.controls.kinds == ("canny", "depth")
    numbers, led = next(imaginer.independent(np.arange(4)))
    columns = {**timeline.columns, **dict.fromkeys(CONTROLS, np.zeros(timeline.frames))}
    _, plain = next(material.imaginer(replace(timeline, columns=columns)).independent(numbers))
    assert not torch.equal(led, plain)


def test_the_command_line_refuses_in_one_line(beat_wav: Path, toy_model: Path, place: Path) -> None:
    def said(*options: object, code: int = 1) -> str:
        told = ["run", str(beat_wav), "-o", str(place / "no.mp4"), *map(str, options)]
        result = CliRunner().invoke(main, told)
        assert result.exit_code == code, result.output
        assert len(result.stderr.strip().splitlines()) == 1
        return result.stderr

    model = ("--model", toy_model)
    canny = ("--control-model", f"canny={place / 'canny'}")
    assert "no such file" in said("--control", f"canny:{place / 'none.png'}", *model, *canny)
    assert "no usual network of this kind for sd" in said("--control", "canny")
    assert "unknown signal" in said("--control", "canny:loud", code=2)
    assert "no kind of picture" in said("--control", "0.5", code=2)
    assert "no kind with a network" in said("--control", "canny", "--control-model", "canny", code=2)
    assert "no such control network" in said("--control", "canny", *model, "--control-model", "canny=thing")
    (place / "shapes" / "preset.toml").write_text(PRESET.format(top="", phase=""))
    depth = ("--control-model", f"depth={place / 'depth'}", "--photo", place / "band.png", "--duration", "1")
    told = ["run", str(beat_wav), "-o", str(place / "no.mp4"), "--control", "depth", "--preset", str(place / "shapes")]
    result = CliRunner().invoke(main, [*told, *map(str, (*model, *depth))])
    assert result.exit_code == 1
    assert "band.png: has no picture of the kind depth" in result.stderr.strip().splitlines()[-1]
    assert not (place / "no.mp4").exists()
