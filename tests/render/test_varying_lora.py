"""LoRAs of changing strength from the command line and from presets: columns, lanes, recipes, takes and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from reactive import Settings, decide, load_model, make_clip, open_track
from reactive.audio.hear import hear
from reactive.cli import main
from reactive.diffusion.imaginer import open_imaginer
from reactive.errors import ModelError, PresetError
from reactive.preset.schema import parse_preset
from reactive.render.loras import with_loras
from reactive.render.recipe import read_recipe
from reactive.render.repeat import repeat_clip
from reactive.render.take import Take, load_take, save_take
from reactive.timeline.file import load_timeline, save_timeline
from reactive.timeline.loras import LORAS, lora_strengths, split_lora, varies, with_lora_strengths
from reactive.timeline.perform import Change, Stage
from reactive.timeline.timeline import FEEDBACK
from tests.diffusion.test_varying_lora import save_lora
from tests.render.test_run import pictures
from tests.toy import flat_timeline

PRESET = """version = 2
title = "grains"
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
TOP = '[[lora]]\nfile = "film.safetensors"\nstrength = "0.2 + gate(bar, 0.3)"'
PHASE = '[[phase.lora]]\nfile = "grain.safetensors"\nstrength = "9"'


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)


@pytest.fixture
def place(tmp_path: Path, toy_model: Path) -> Path:
    """A folder with two LoRAs for the toy model, and a preset that has both."""
    network = load_model(str(toy_model), dtype="float32").network
    (tmp_path / "grains").mkdir()
    (tmp_path / "grains" / "preset.toml").write_text(PRESET.format(top=TOP, phase=PHASE))
    for number, name in enumerate(("film.safetensors", "grain.safetensors")):
        for folder in (tmp_path, tmp_path / "grains"):
            save_lora(folder / name, network, head="unet", seed=number)
    return tmp_path


def settings(model: Path, **more: Any) -> Settings:
    chosen = {"preset": "drift", "duration": 0.5, "codec": "ffv1", "dtype": "float32", "steps": 1, "fps": 12}
    return Settings.of(model=str(model), **{**chosen, **more})


def test_files_and_strengths_are_told_apart(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert split_lora("film.safetensors") == ("film.safetensors", "")
    assert split_lora("a/film.safetensors: 0.3 + drop / 2") == ("a/film.safetensors", "0.3 + drop / 2")
    assert split_lora("C:\\band\\film.safetensors") == ("C:\\band\\film.safetensors", "")
    assert split_lora("D:/band/film.safetensors") == ("D:/band/film.safetensors", "")
    (place / "odd:drop").write_bytes(b"")
    assert split_lora("odd:drop") == ("odd:drop", "")
    assert [varies(text) for text in ("", "0.5", "-1", "drop", "(0.5)", "preset")] == [False] * 3 + [True] * 3
    found = lora_strengths(["a/film.safetensors:build", "grain.safetensors:0.5", "third.safetensors:preset"])
    assert [(one.file, one.strength) for one in found] == [("film.safetensors", "build")]
    for strength in ("nothing", "macro.mine", "1 +"):
        with pytest.raises(PresetError, match=r"--lora film\.safetensors:"):
            lora_strengths([f"film.safetensors:{strength}"])


def test_a_presets_loras_have_strengths_by_phase(beat_wav: Path, place: Path) -> None:
    analysis = hear(beat_wav).analysis
    timeline = decide(analysis, place / "grains", fps=12)
    assert timeline.loras == ("film.safetensors", "grain.safetensors")
    first, second = (timeline.columns[name] for name in LORAS[:2])
    one = timeline.columns["phase"] == 0
    assert {round(value, 3) for value in first[one].tolist()} >= {0.2, 1.2}
    # held at its limit
    assert (second[~one] == 4).any()
    assert (second[one] == 0).any()
    told = CliRunner().invoke(main, ["preset", "show", str(place / "grains")]).output
    assert "lora       film.safetensors, by 0.2 + gate(bar, 0.3)" in told
    more = decide(analysis, place / "grains", fps=12, loras=["film.safetensors:0.4", "x/film.safetensors:beat - 0.5"])
    assert more.loras == ("film.safetensors", "grain.safetensors")
    # an expression replaces the preset's own, in all of its phases; a number is fused into the model
    assert set(np.sign(more.columns["lora_1"][~one])) == {-1.0, 1.0}
    for texts, said in ((["a.st:beat", "b/a.st:bar"], "given twice"), ([f"{n}.st:beat" for n in "abcde"], "there are")):
        with pytest.raises(PresetError, match=said):
            with_lora_strengths(parse_preset(PRESET.format(top="", phase=""), where="here"), lora_strengths(texts))
    for wrong, said in (
        (TOP + "\n" + TOP, "is there twice"),
        (TOP.replace("film", "../film"), "is not a plain file name"),
        (TOP.replace("0.2 + gate", "nothing + gate"), "nothing"),
        ("\n".join(TOP.replace("film", name) for name in "abcde"), "at most 4"),
    ):
        with pytest.raises(PresetError, match=said):
            parse_preset(PRESET.format(top=wrong, phase=""), where="here")


def test_a_timeline_with_loras_is_a_file_of_version_six(tmp_path: Path, beat_wav: Path, place: Path) -> None:
    told = ["timeline", str(beat_wav), "--preset", str(place / "grains"), "--fps", "12", "-o", str(tmp_path / "t.json")]
    assert CliRunner().invoke(main, [*told, "--lora", "third.safetensors:beat"]).exit_code == 0
    again = load_timeline(tmp_path / "t.json")
    assert again.loras == ("film.safetensors", "third.safetensors", "grain.safetensors")
    assert again.columns["lora_2"].max() > 0.5
    text = (tmp_path / "t.json").read_text()
    assert '"version": 6' in text
    for wrong in (text.replace('"grain.safetensors"]', '"third.safetensors"]'), text.replace('"third', '"../third')):
        (tmp_path / "t.json").write_text(wrong)
        if "../third" in wrong:
            result = CliRunner().invoke(main, ["run", str(beat_wav), "--timeline", str(tmp_path / "t.json")])
            assert result.exit_code == 1
            assert "loras" in result.stderr
    assert CliRunner().invoke(main, [*told, "--lora", "third.safetensors:0.5"]).exit_code == 2
    save_timeline(flat_timeline(4), tmp_path / "plain.json")
    assert "lora" not in (tmp_path / "plain.json").read_text()


def test_the_model_gets_the_loras_that_a_preset_names(place: Path, toy_model: Path) -> None:
    preset = parse_preset(PRESET.format(top=TOP, phase=PHASE), where="here")
    beside, film = place / "grains", str(place / "film.safetensors")
    found = with_loras(settings(toy_model), preset, beside).model.loras
    assert found == (f"{beside / 'film.safetensors'}:preset", f"{beside / 'grain.safetensors'}:preset")
    # one that is named replaces the one beside the preset; a number is an expression then
    for strength, made in (("", ":preset"), (":0.5", ":(0.5)"), (":drop", ":drop")):
        found = with_loras(settings(toy_model, loras=(film + strength,)), preset, beside).model.loras
        assert found == (film + made, f"{beside / 'grain.safetensors'}:preset")
        assert with_loras(settings(toy_model, loras=found), preset, beside).model.loras == found
    with pytest.raises(ModelError, match="is not beside the preset"):
        with_loras(settings(toy_model), preset, place / "cache")
    with pytest.raises(ModelError, match="the preset has no LoRA of this name"):
        with_loras(settings(toy_model, loras=(f"{film}:preset",)), None, None)


def test_lanes_and_batches_give_the_same_frames(place: Path, toy_model: Path) -> None:
    loras = tuple(f"{place / name}:preset" for name in ("film.safetensors", "grain.safetensors"))
    model = load_model(str(toy_model), steps=1, dtype="float32", loras=loras)
    timeline = flat_timeline(12, cuts=(4, 8))
    strengths = {"lora_1": np.linspace(0, 1, 12), "lora_2": np.full(12, 0.3)}
    timeline = replace(
        timeline,
        # the timeline's order is another than the model's
        loras=("grain.safetensors", "film.safetensors"),
        columns={**timeline.columns, **strengths},
    )
    plain = replace(timeline, columns={**timeline.columns, **dict.fromkeys(strengths, np.zeros(12))})
    swapped = {"lora_1": strengths["lora_2"], "lora_2": strengths["lora_1"]}
    same = replace(timeline, loras=timeline.loras[::-1], columns={**timeline.columns, **swapped})
    fed_back = {"source": np.full(12, FEEDBACK), "strength": np.full(12, 0.6)}

    def frames(timeline: Any, batch: int, lanes: int, columns: dict[str, Any]) -> np.ndarray:
        chosen = replace(timeline, columns={**timeline.columns, **columns})
        with open_imaginer(model, chosen, size=(64, 64), batch=batch, lanes=lanes, pace=1.0) as imaginer:
            return np.stack(list(imaginer.frames(0, 12))).astype(int)

    for columns in ({}, fed_back):
        first = frames(timeline, 1, 1, columns)
        for batch, lanes in ((4, 1), (4, 3)):
            assert np.abs(first - frames(timeline, batch, lanes, columns)).max() <= 1
        assert np.array_equal(first, frames(same, 1, 1, columns))
        assert np.abs(first - frames(plain, 1, 1, columns)).mean() > 1
    other = replace(timeline, loras=("other.safetensors", "film.safetensors"))
    with pytest.raises(ModelError, match=r"was loaded without the LoRA other\.safetensors"):
        frames(other, 1, 1, {})


def test_a_clip_is_resumed_and_made_again_by_its_recipe(beat_wav: Path, place: Path, toy_model: Path) -> None:
    out = place / "clip.mkv"
    chosen = settings(toy_model, preset=str(place / "grains"), loras=(f"{place / 'film.safetensors'}:0.1 + beat / 2",))
    clip = make_clip(beat_wav, out, chosen)
    assert clip.frames == 6
    recipe = read_recipe(out)
    assert recipe.settings["loras"] == ["film.safetensors:0.1 + beat / 2", "grain.safetensors:preset"]
    assert str(place) not in recipe.model_dump_json()
    first = pictures(out)
    # the same request is known, another expression is another clip
    assert make_clip(beat_wav, out, chosen).job == clip.job
    other = chosen.changed(loras=(f"{place / 'film.safetensors'}:1 - beat",), overwrite=True)
    make_clip(beat_wav, out, other)
    assert not np.array_equal(first, pictures(out))
    make_clip(beat_wav, out, chosen.changed(overwrite=True))
    assert np.array_equal(first, pictures(out))
    again = repeat_clip(recipe, beat_wav, place / "again.mkv", places=[place], model=str(toy_model))
    assert again.differs == ()
    assert np.array_equal(first, pictures(place / "again.mkv"))


def test_a_take_keeps_the_loras_that_were_given(beat_wav: Path, place: Path, toy_model: Path) -> None:
    track, analysis = open_track(beat_wav), hear(beat_wav).analysis
    presets = {"grains": PRESET.format(top=TOP, phase=PHASE), "plain": PRESET.format(top="", phase="")}
    given = ("third.safetensors:0.2 + beat",)
    change = Change(1.0, "preset", "plain", 0.0)
    take = Take(track.sha256, flat_timeline(2).fps, 0, (), "grains", presets, (change,), loras=given)
    save_take(take, place / "t.json")
    assert load_take(place / "t.json") == take
    stage = Stage(analysis, track.samples, take.fps, 0, take.checked_presets(), loras=lora_strengths(given))
    timeline = stage.fold("grains", take.changes).timeline
    assert timeline.loras == ("film.safetensors", "third.safetensors", "grain.safetensors")
    at = int(1.5 * timeline.fps)
    assert timeline.columns["lora_1"][: at // 2].max() > 0
    assert not timeline.columns["lora_1"][-2:].any()
    assert timeline.columns["lora_2"].min() >= 0.2
    with pytest.raises(ModelError, match="is not beside the preset"):
        with_loras(settings(toy_model, take=place / "t.json"), None, None)
    with pytest.raises(ModelError, match="the take says how strong"):
        with_loras(settings(toy_model, take=place / "t.json", loras=("third.safetensors:0.5",)), None, None)
    text = (place / "t.json").read_text()
    (place / "t.json").write_text(text.replace("third.safetensors:0.2", "../third.safetensors:0.2"))
    result = CliRunner().invoke(main, ["run", str(beat_wav), "--take", str(place / "t.json")])
    assert result.exit_code == 1
    assert "loras must be names of files with expressions" in result.stderr
