"""Reference pictures from the command line and from presets: weights, lanes, resuming, recipes, takes and refusals."""

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
from reactive.diffusion.imaginer import open_imaginer
from reactive.errors import PresetError
from reactive.preset.schema import parse_preset
from reactive.preset.style import split_style, style_pictures
from reactive.render.recipe import read_recipe
from reactive.render.repeat import repeat_clip
from reactive.render.take import Take, load_take, save_take
from reactive.timeline.file import load_timeline, save_timeline
from reactive.timeline.perform import Change, Stage
from reactive.timeline.styles import STYLES, style_names, with_styles
from reactive.timeline.timeline import FEEDBACK, Timeline
from tests.diffusion.style_toys import picture, save_adapter
from tests.render.test_run import pictures
from tests.toy import flat_timeline

PRESET = """version = 2
title = "covers"
style = "oil"
{top}
[[phase]]
name = "one"
bars = [1, 1]
prompts = ["a sea", "a tree"]
[[phase]]
name = "two"
bars = [1, 1]
prompts = ["a fire", "a hill"]
{phase}
"""
TOP = '[[style_picture]]\nfile = "cover.png"\nweight = "0.2 + gate(bar, 0.3)"'
PHASE = '[[phase.style_picture]]\nfile = "other.png"\nweight = 1.5'


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)


@pytest.fixture
def place(tmp_path: Path, toy_model: Path) -> Path:
    """A folder with two pictures, an adapter for the toy model, and a preset that shows both pictures."""
    save_adapter(tmp_path / "adapter", toy_model)
    (tmp_path / "covers").mkdir()
    (tmp_path / "covers" / "preset.toml").write_text(PRESET.format(top=TOP, phase=PHASE))
    for number, name in enumerate(("cover.png", "other.png")):
        for folder in (tmp_path, tmp_path / "covers"):
            Image.fromarray(picture(number + 1)).save(folder / name)
    return tmp_path


def settings(place: Path, model: Path, **more: Any) -> Settings:
    chosen = {"preset": "drift", "duration": 0.5, "codec": "ffv1", "dtype": "float32", "steps": 1, "fps": 12}
    return Settings.of(model=str(model), adapter=str(place / "adapter"), **{**chosen, **more})


def test_files_and_weights_are_told_apart(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert split_style("cover.png") == ("cover.png", "0.6")
    assert split_style("cover.png:0.3") == ("cover.png", "0.3")
    assert split_style("a/cover.png: 0.3 + drop") == ("a/cover.png", "0.3 + drop")
    assert split_style("C:\\band\\cover.png") == ("C:\\band\\cover.png", "0.6")
    (place / "odd:1").write_bytes(b"")
    assert split_style("odd:1") == ("odd:1", "0.6")
    found = style_pictures(["a/cover.png:build", "other.png"])
    assert [(one.file, one.weight) for one in found] == [("cover.png", "build"), ("other.png", "0.6")]
    for weight in ("nothing", "macro.mine", "1 +"):
        with pytest.raises(PresetError, match=r"--style cover\.png:"):
            style_pictures([f"cover.png:{weight}"])


def test_a_presets_pictures_have_weights_by_phase(beat_wav: Path, place: Path) -> None:
    analysis = hear(beat_wav).analysis
    timeline = decide(analysis, place / "covers", fps=12)
    assert timeline.styles == ("cover.png", "other.png")
    first, second = (timeline.columns[name] for name in STYLES[:2])
    one = timeline.columns["phase"] == 0
    # phases meet at blends, so a few frames lie between
    assert {round(value, 3) for value in first[one].tolist()} >= {0.2, 1.2}
    assert (second[~one] == 1.5).any()
    assert (first[~one] == 0).any()
    assert (second[one] == 0).any()
    assert not any(timeline.columns[name].any() for name in STYLES[2:])
    told = CliRunner().invoke(main, ["preset", "show", str(place / "covers")]).output
    assert "style      cover.png, by 0.2 + gate(bar, 0.3)" in told
    assert "style      other.png, by 1.5" in told
    # the text key of the same word stays what it was
    assert all(prompt.endswith("oil") for prompt in timeline.prompts)
    more = decide(analysis, place / "covers", fps=12, styles=["third.png:0.3 + 9 * beat"])
    assert more.styles == ("cover.png", "third.png", "other.png")
    assert more.columns["style_2"].min() >= 0.3
    assert more.columns["style_2"].max() == 2.0


def test_a_timeline_with_pictures_is_a_file_of_version_five(tmp_path: Path, beat_wav: Path, place: Path) -> None:
    timeline = decide(hear(beat_wav).analysis, place / "covers", fps=12)
    save_timeline(timeline, tmp_path / "t.json")
    again = load_timeline(tmp_path / "t.json")
    assert again.styles == timeline.styles
    assert all(np.allclose(again.columns[name], timeline.columns[name]) for name in STYLES)
    assert '"version": 5' in (tmp_path / "t.json").read_text()
    text = (tmp_path / "t.json").read_text()
    for wrong in (
        text.replace('["cover.png", "other.png"]', '["cover.png"]'),
        text.replace('"cover.png"', '"../cover.png"'),
    ):
        (tmp_path / "t.json").write_text(wrong)
        result = CliRunner().invoke(main, ["run", str(beat_wav), "--timeline", str(tmp_path / "t.json")])
        assert result.exit_code == 1
        assert "style" in result.stderr
    # a file without pictures is as it was
    save_timeline(flat_timeline(4), tmp_path / "plain.json")
    assert '"version": 1' in (tmp_path / "plain.json").read_text()


def test_too_many_pictures_or_two_of_one_name_are_refused(place: Path) -> None:
    preset = parse_preset(PRESET.format(top=TOP, phase=PHASE), where="p")
    with pytest.raises(PresetError, match="given twice"):
        with_styles(preset, style_pictures(["elsewhere/cover.png"]))
    with pytest.raises(PresetError, match="at most 8"):
        with_styles(preset, style_pictures([f"{number}.png" for number in range(7)]))
    assert len(style_names(with_styles(preset, style_pictures([f"{number}.png" for number in range(6)])))) == 8
    with pytest.raises(PresetError, match="plain file name"):
        parse_preset(PRESET.format(top=TOP.replace("cover", "../cover"), phase=""), where="p")
    with pytest.raises(PresetError, match="there twice"):
        parse_preset(PRESET.format(top=f"{TOP}\n{TOP}", phase=""), where="p")
    with pytest.raises(PresetError, match="unknown key style_picture"):
        parse_preset(PRESET.format(top=TOP.replace("weight", "strength"), phase=""), where="p")


def shown(model: Any, timeline: Timeline, files: list[Path], *, batch: int = 3) -> np.ndarray:
    timeline = replace(timeline, styles=tuple(file.name for file in files))
    with open_imaginer(model, timeline, size=(64, 64), batch=batch, styles=files, pace=1.0) as imaginer:
        return np.stack(list(imaginer.frames())).astype(int)


def test_weights_count_frame_by_frame_and_in_lanes(toy_model: Path, place: Path) -> None:
    model = load_model(toy_model, steps=1, dtype="float32", adapter=str(place / "adapter"))
    files = [place / "cover.png", place / "other.png"]
    weights = np.array([0, 0, 0.5, 1.0, 0, 0])
    none, some = (shown(model, flat_timeline(6, style_1=w), files) for w in (0, weights))
    differs = (none != some).any(axis=(1, 2, 3))
    assert differs.tolist() == [False, False, True, True, False, False]
    other = shown(model, flat_timeline(6, style_2=weights), files)
    assert (other[3] != some[3]).any()
    # two feedback shots side by side; the second one is left alone
    lanes = {"source": FEEDBACK, "shot": np.repeat([0, 1], 6), "strength": 0.6, "cuts": (6,)}
    plain = shown(model, flat_timeline(12, **lanes), files)
    led = shown(model, flat_timeline(12, **lanes, style_1=np.repeat([0.0, 1.0, 0.0, 0.0], 3)), files)
    differs = (plain != led).any(axis=(1, 2, 3))
    assert not differs[:3].any()
    assert differs[4:6].all()
    assert not differs[6:].any()
    # what is fed back stays when the weight is gone, and a palette of feedback takes the weights too
    kept = shown(model, flat_timeline(6, source=FEEDBACK, strength=0.6, style_1=1.0, feedback_colour=0.7), files)
    assert kept.std() > 1


def test_joins_have_the_weights_of_both_shots(toy_model: Path, place: Path) -> None:
    model = load_model(toy_model, steps=1, dtype="float32", adapter=str(place / "adapter"))
    files = [place / "cover.png"]
    joins = {"shot": np.repeat([0, 1], 4), "cuts": (4,), "seed": np.repeat([7, 8], 4)}
    for join in ("dissolve", "morph"):
        ramp = np.array([0, 0, 0.4, 0.8, 0, 0, 0, 0])
        plain, led = (
            shown(model, flat_timeline(8, **joins, **{join: ramp}, style_1=np.repeat([0.0, weight], 4)), files)
            for weight in (0.0, 1.0)
        )
        assert (plain != led).any(axis=(1, 2, 3)).tolist() == [False, False, *[True] * 6]


def test_a_clip_carries_its_pictures_and_is_made_again(
    tmp_path: Path, toy_model: Path, beat_wav: Path, place: Path
) -> None:
    chosen = settings(place, toy_model, styles=(f"{place / 'cover.png'}:0.9",), preset=str(place / "covers"))
    (place / "covers" / "cover.png").unlink()
    (place / "covers" / "preset.toml").write_text(PRESET.format(top="", phase=PHASE))
    clip = make_clip(beat_wav, tmp_path / "clip.mkv", chosen)
    recipe = read_recipe(clip.output)
    assert [style.name for style in recipe.styles] == ["cover.png", "other.png"]
    assert recipe.settings["styles"] == ["cover.png:0.9"]
    assert str(tmp_path) not in recipe.model_dump_json()
    again = repeat_clip(
        recipe,
        beat_wav,
        tmp_path / "again.mkv",
        places=[place, place / "covers"],
        model=str(toy_model),
        adapter=str(place / "adapter"),
    )
    assert again.differs == ()
    assert np.array_equal(pictures(again.clip.output), pictures(clip.output))
    without = make_clip(beat_wav, tmp_path / "without.mkv", settings(place, toy_model, preset=str(place / "covers")))
    assert not np.array_equal(pictures(without.output), pictures(clip.output))


def test_another_picture_of_the_same_name_is_another_clip(
    tmp_path: Path, toy_model: Path, beat_wav: Path, place: Path
) -> None:
    chosen = settings(place, toy_model, styles=(f"{place / 'cover.png'}:1",), job=tmp_path / "job", overwrite=True)
    first = pictures(make_clip(beat_wav, tmp_path / "clip.mkv", chosen).output)
    same = make_clip(beat_wav, tmp_path / "clip.mkv", chosen)
    assert np.array_equal(pictures(same.output), first)
    Image.fromarray(picture(9)).save(place / "cover.png")
    assert not np.array_equal(pictures(make_clip(beat_wav, tmp_path / "clip.mkv", chosen).output), first)


def test_a_take_has_the_pictures_of_both_its_presets(
    tmp_path: Path, beat_wav: Path, toy_model: Path, place: Path
) -> None:
    one, two = PRESET.format(top=TOP, phase=""), PRESET.format(top=TOP.replace("cover", "other"), phase="")
    changes = (Change(1.0, "preset", "two", 0.0),)
    take = Take(
        open_track(beat_wav).sha256,
        Fraction(12),
        4,
        (),
        "one",
        {"one": one, "two": two},
        changes,
        styles=("third.png:0.4",),
    )
    save_take(take, tmp_path / "a.take.json")
    assert load_take(tmp_path / "a.take.json") == take
    heard = hear(beat_wav)
    stage = Stage(
        heard.analysis, heard.track.samples, take.fps, 4, take.checked_presets(), styles=style_pictures(take.styles)
    )
    timeline = stage.fold("one", changes).timeline
    assert timeline.styles == ("cover.png", "third.png", "other.png")
    assert timeline.columns["style_1"][:12].min() >= 0.2
    assert not timeline.columns["style_1"][12:].any()
    assert (timeline.columns["style_2"] == 0.4).all()
    assert not timeline.columns["style_3"][:12].any()
    assert timeline.columns["style_3"][12:].min() >= 0.2
    Image.fromarray(picture(3)).save(tmp_path / "third.png")
    chosen = settings(place, toy_model, take=tmp_path / "a.take.json", duration=1.5)
    assert len(pictures(make_clip(beat_wav, tmp_path / "take.mkv", chosen).output)) == 18


def test_the_preview_shows_them(beat_wav: Path, toy_model: Path, place: Path) -> None:
    from reactive.live.material import PreviewOptions, load_material

    options = PreviewOptions.of(
        preset=str(place / "covers"),
        model=str(toy_model),
        adapter=str(place / "adapter"),
        steps=1,
        fps=12,
        dtype="float32",
    )
    material = load_material(beat_wav, options)
    material.ground_folders = [place / "covers"]
    timeline = decide(material.analysis, place / "covers", fps=12)
    imaginer = material.imaginer(timeline)
    assert imaginer.styles is not None
    assert imaginer.styles.count == 2
    # an edit encodes nothing again
    assert material.imaginer(timeline).styles is imaginer.styles
    numbers, led = next(imaginer.independent(np.arange(4)))
    columns = {**timeline.columns, **dict.fromkeys(STYLES, np.zeros(timeline.frames))}
    _, plain = next(material.imaginer(replace(timeline, columns=columns)).independent(numbers))
    assert not torch.equal(led, plain)


def test_the_command_line_refuses_in_one_line(beat_wav: Path, toy_model: Path, place: Path) -> None:
    def said(*options: object, code: int = 1) -> str:
        told = ["run", str(beat_wav), "-o", str(place / "no.mp4"), *map(str, options)]
        result = CliRunner().invoke(main, told)
        assert result.exit_code == code, result.output
        assert len(result.stderr.strip().splitlines()) == 1
        return result.stderr

    cover = place / "cover.png"
    assert "no such file" in said("--style", place / "none.png", "--model", toy_model, "--adapter", place / "adapter")
    assert "texts are 768 wide" in said("--style", cover)
    assert "unknown signal" in said("--style", f"{cover}:loud", code=2)
    assert "no such adapter" in said("--style", cover, "--model", toy_model, "--adapter", "thing")
    (place / "covers" / "other.png").unlink()
    assert "other.png: no such file" in said("--preset", place / "covers", "--model", toy_model)
    assert not (place / "no.mp4").exists()
