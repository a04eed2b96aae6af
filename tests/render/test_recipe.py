"""Recipes: what a clip carries, and how the same clip is made from it, bit for bit."""

from __future__ import annotations

import getpass
import hashlib
import json
import shutil
import socket
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from reactive import Settings, make_clip
from reactive.cli import main
from reactive.errors import MediaError, ModelError, ReactiveError
from reactive.media.tags import MAX_TAG, RECIPE, XMP, append_boxes, read_tags
from reactive.preset.library import find_preset
from reactive.render import run
from reactive.render.recipe import ASIDE, FILES, Recipe, differences, read_recipe
from reactive.render.repeat import repeat_clip
from reactive.sources.imagery import find_picture
from reactive.video.mark import SOURCE_TYPE
from tests.toy import beat_song, save_toy_model, write_song

PRESET = """version = 2
title = "Photo"
author = "A band"
walk = "0.3"
strength = "0.7"
[[macro]]
name = "storm"
[[phase]]
name = "one"
mode = "photo"
prompts = ["a grey sea", "a red door"]
[phase.lens]
zoom = "1.1 + 0.2 * macro.storm * rms"
[phase.switch]
every = "1 bar"
"""


def contents(path: Path) -> tuple[np.ndarray, list[bytes]]:
    """Return a clip's decoded pictures and all its packets, sound and picture."""
    with av.open(str(path)) as container:
        pictures = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(container.streams.video[0])])
    with av.open(str(path)) as container:
        packets = [struct.pack("<q", packet.pts or 0) + bytes(packet) for packet in container.demux() if packet.size]
    return pictures, packets


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    """A folder with a song, a photograph, a preset and the clip made from them."""
    folder = tmp_path_factory.mktemp("secret-folder")
    write_song(folder / "song.wav", beat_song(3))
    y, x = np.mgrid[0:90, 0:160]
    Image.fromarray(np.stack([x, y, x ^ y], axis=2).astype(np.uint8)).save(folder / "band.png")
    (folder / "photo.toml").write_text(PRESET)
    make_clip(folder / "song.wav", folder / "clip.mp4", chosen(folder, toy_model))
    return folder


def chosen(folder: Path, toy_model: Path, **changes) -> Settings:
    values = {
        "preset": str(folder / "photo.toml"),
        "photos": (folder / "band.png",),
        "model": str(toy_model),
        "steps": 1,
        "device": "cpu",
        "threads": 1,
        "batch": 4,
        "seed": 5,
        "macros": {"storm": 0.8},
    }
    return Settings.of(**(values | changes))


def test_the_preset_is_restored_from_a_clip(room: Path) -> None:
    recipe = read_recipe(room / "clip.mp4")
    assert recipe.preset is not None
    assert recipe.preset.text == PRESET
    assert recipe.preset.name == "photo"
    assert recipe.song.name == "song.wav"
    assert [photo.name for photo in recipe.photos] == ["band.png"]
    assert recipe.settings["seed"] == 5
    assert recipe.settings["macros"] == {"storm": 0.8}
    assert recipe.settings["batch"] == 4
    assert recipe.settings["size"] == [128, 128]
    assert recipe.settings["pace"] > 0
    assert {"torch", "diffusers", "av"} <= recipe.libraries.keys()


def test_a_recipe_contains_nothing_about_the_machine(room: Path, toy_model: Path) -> None:
    text = read_tags(room / "clip.mp4")[RECIPE]
    raw = (room / "clip.mp4").read_bytes()
    for secret in (str(room), str(room.parent), str(toy_model), "secret-folder", str(Path.home())):
        assert secret not in text
        assert secret.encode() not in raw
    # short ones occur within other words
    for secret in (getpass.getuser(), socket.gethostname()):
        assert len(secret) <= 4 or secret not in text


def test_every_setting_that_affects_the_clip_is_in_the_recipe(room: Path) -> None:
    kept = set(read_recipe(room / "clip.mp4").settings)
    names = set(Settings.names())
    assert kept == names - {*FILES, *ASIDE}


def test_credits_list_only_the_bundled_librarys_pictures(tmp_path: Path, room: Path, toy_model: Path) -> None:
    lighthouse = find_picture("lighthouse")
    out = tmp_path / "clip.mp4"
    make_clip(room / "song.wav", out, chosen(room, toy_model, photos=(lighthouse.path, room / "band.png")))
    done = CliRunner().invoke(main, ["export", str(out), "--credits"])
    assert done.exit_code == 0, done.output
    assert done.output.count("\n") == 1
    for said in (lighthouse.caption, lighthouse.author, lighthouse.licence, "https://github.com/"):
        assert said in done.output
    (told,) = json.loads(CliRunner().invoke(main, ["export", str(out), "--credits", "--json"]).output)["credits"]
    assert told["name"] == "lighthouse"
    own = CliRunner().invoke(main, ["export", str(room / "clip.mp4"), "--credits"])
    assert own.output == "It shows no photograph of the library.\n"


def test_the_clip_is_reproduced_bit_for_bit(tmp_path: Path, room: Path, toy_model: Path) -> None:
    done = repeat_clip(read_recipe(room / "clip.mp4"), room / "song.wav", tmp_path / "again.mp4", model=str(toy_model))
    assert done.differs == ()
    before, after = contents(room / "clip.mp4"), contents(tmp_path / "again.mp4")
    assert len(before[0]) == 72
    assert np.array_equal(before[0], after[0])
    assert before[1] == after[1]
    assert len(set(before[1])) > 72
    # another seed gives another clip, so equality is meaningful
    other = make_clip(room / "song.wav", tmp_path / "other.mp4", chosen(room, toy_model, seed=6))
    assert not np.array_equal(contents(other.output)[0], before[0])
    found = differences(read_recipe(room / "clip.mp4"), read_recipe(other.output))
    assert "seed is 6, was 5" in found
    assert "another timeline was decided" in found


def test_quantised_weights_are_in_the_recipe(tmp_path: Path, room: Path, toy_model: Path) -> None:
    made = make_clip(room / "song.wav", tmp_path / "small.mp4", chosen(room, toy_model, quant="int8", duration=0.5))
    recipe = read_recipe(made.output)
    assert recipe.settings["quant"] == "int8"
    assert recipe.quant is None
    assert recipe.model.sha256 != read_recipe(room / "clip.mp4").model.sha256
    again = repeat_clip(recipe, room / "song.wav", tmp_path / "again.mp4", places=[room], model=str(toy_model))
    assert again.differs == ()
    assert contents(tmp_path / "again.mp4")[1] == contents(made.output)[1]
    plain = make_clip(room / "song.wav", tmp_path / "plain.mp4", chosen(room, toy_model, duration=0.5))
    assert not np.array_equal(contents(plain.output)[0], contents(made.output)[0])


def test_depth_maps_are_in_the_recipe(tmp_path: Path, room: Path, toy_model: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    shutil.copy(room / "band.png", folder / "band.png")
    Image.new("L", (160, 90), 40).save(folder / "band.depth.png")
    settings = chosen(room, toy_model, photos=(folder / "band.png",), duration=0.5)
    made = make_clip(room / "song.wav", tmp_path / "deep.mp4", settings)
    recipe = read_recipe(made.output)
    assert [depth.name for depth in recipe.depths] == ["band.depth.png"]
    assert read_recipe(room / "clip.mp4").depths == []
    given = {"places": [folder], "model": str(toy_model)}
    again = repeat_clip(recipe, room / "song.wav", tmp_path / "again.mp4", **given)
    assert again.differs == ()
    (folder / "band.depth.png").unlink()
    with pytest.raises(MediaError, match=r"the recipe needs band\.depth\.png"):
        repeat_clip(recipe, room / "song.wav", tmp_path / "flat.mp4", **given)


def test_colours_of_the_clip_are_in_the_recipe(tmp_path: Path, room: Path, toy_model: Path) -> None:
    look = tmp_path / "look.cube"
    look.write_text("LUT_1D_SIZE 2\n1 0 0\n0 1 1\n")
    asked = {"palette": ("#200010", "#d01030"), "palette_strength": 0.5, "saturation": 1.5, "lut": look}
    coloured = chosen(room, toy_model, duration=0.5, **asked)
    clip = make_clip(room / "song.wav", tmp_path / "clip.mp4", coloured)
    plain = make_clip(room / "song.wav", tmp_path / "plain.mp4", chosen(room, toy_model, duration=0.5))
    pictures = [frames_of(path) for path in (clip.output, plain.output)]
    # in this lookup table red runs from white to black
    assert pictures[0][..., 0].mean() > pictures[1][..., 0].mean() + 20
    recipe = read_recipe(clip.output)
    assert recipe.settings["palette"] == ["#200010", "#d01030"]
    assert recipe.lut is not None
    assert recipe.lut.name == "look.cube"
    again = repeat_clip(
        recipe, room / "song.wav", tmp_path / "again.mp4", places=[room, tmp_path], model=str(toy_model)
    )
    assert again.differs == ()
    assert np.array_equal(frames_of(tmp_path / "again.mp4"), pictures[0])


def frames_of(clip: Path) -> np.ndarray:
    with av.open(str(clip)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_other_containers_carry_it_too(tmp_path: Path, room: Path, toy_model: Path, suffix: str) -> None:
    out = tmp_path / f"clip{suffix}"
    make_clip(room / "song.wav", out, chosen(room, toy_model, duration=0.5))
    recipe = read_recipe(out)
    assert recipe.settings["duration"] == 0.5
    done = repeat_clip(recipe, room / "song.wav", tmp_path / f"again{suffix}", model=str(toy_model))
    assert done.differs == ()
    assert contents(out)[1] == contents(done.clip.output)[1]


def test_other_programs_read_the_marker_of_generative_ai(tmp_path: Path, room: Path, toy_model: Path) -> None:
    make_clip(room / "song.wav", tmp_path / "bare.mp4", chosen(room, toy_model, duration=0.3, recipe=False))
    for clip in (room / "clip.mp4", tmp_path / "bare.mp4"):
        # FFmpeg's own XMP reader
        with av.open(str(clip), options={"export_xmp": "1"}) as container:
            assert SOURCE_TYPE in container.metadata["xmp"]
            assert container.metadata["title"] == "song"
        assert bytes.fromhex("be7acfcb97a942e89c71999491e3afac") in clip.read_bytes()
    with pytest.raises(MediaError, match="carries no recipe"):
        read_recipe(tmp_path / "bare.mp4")
    assert b"a grey sea" not in (tmp_path / "bare.mp4").read_bytes()


def test_missing_or_different_inputs_are_named_with_their_hash(tmp_path: Path, room: Path, toy_model: Path) -> None:
    recipe = read_recipe(room / "clip.mp4")
    other = write_song(tmp_path / "song.wav", beat_song(2))
    with pytest.raises(MediaError, match=recipe.song.sha256[:12]):
        repeat_clip(recipe, other, tmp_path / "x.mp4", model=str(toy_model))
    another = save_toy_model(tmp_path / "model", seed=9)
    with pytest.raises(ModelError, match=recipe.model.sha256[:12]):
        repeat_clip(recipe, room / "song.wav", tmp_path / "x.mp4", model=str(another))
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(room / "song.wav", alone)
    shutil.copy(other, alone / "band.png")
    with pytest.raises(MediaError, match=recipe.photos[0].sha256[:12]):
        repeat_clip(recipe, alone / "song.wav", tmp_path / "x.mp4", model=str(toy_model))
    shutil.copy(room / "band.png", alone / "renamed.png")
    done = repeat_clip(
        recipe, alone / "song.wav", tmp_path / "y.mp4", model=str(toy_model), places=[alone / "renamed.png"]
    )
    assert done.differs == ()
    assert not (tmp_path / "x.mp4").exists()


def with_recipe(path: Path, text: str) -> Path:
    """Write the smallest file that is read as a clip with a recipe."""
    path.write_bytes(struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0))
    append_boxes(path, {RECIPE: text})
    return path


HOSTILE = {
    "no JSON": "{",
    "deep": "[" * 100_000,
    "empty": "",
    "another version": '{"format": "reactive-recipe", "version": 9}',
    "a path as a photo": ("photos", [{"name": "../../etc/passwd", "sha256": "0" * 64}]),
    "a path as a song": ("song", {"name": "/etc/passwd", "sha256": "0" * 64}),
    "an escape in a name": ("song", {"name": "\x1b[2J", "sha256": "0" * 64}),
    "a hash that is none": ("song", {"name": "a", "sha256": "x"}),
    "more keys": ("command", "rm"),
    "many photos": ("photos", [{"name": "a", "sha256": "0" * 64}] * 5000),
    "a preset changed": ("preset", {"name": "a", "sha256": "0" * 64, "text": PRESET}),
    "settings are a list": ("settings", []),
    "infinity": ("settings", {"start": float("inf")}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_malicious_recipes_are_refused_in_one_line(tmp_path: Path, room: Path, case: str) -> None:
    change = HOSTILE[case]
    data = json.loads(read_tags(room / "clip.mp4")[RECIPE])
    text = change if isinstance(change, str) else json.dumps(data | {change[0]: change[1]})
    clip = with_recipe(tmp_path / "clip.mp4", text)
    done = CliRunner().invoke(main, ["preset", "extract", str(clip), "-o", str(tmp_path / "out.toml")])
    assert done.exit_code == 1, done.output
    assert len(done.output.strip().splitlines()) == 1
    assert "Traceback" not in done.output
    assert "\x1b" not in done.output
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["clip.mp4"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 10**9),
        ("batch", 10**9),
        ("batch", "8"),
        ("threads", -1),
        ("seed", -1),
        ("size", [10**6, 10**6]),
        ("size", 7),
        ("codec", "rawvideo"),
        ("speed", "x"),
        ("device", "cuda:99; rm"),
        ("fps", "1/0"),
        ("duration", -1.0),
        ("quant", "/etc/passwd"),
        ("quant", "../network.gguf"),
        ("unknown", 1),
        ("macros", {"none": 0.5}),
    ],
)
def test_settings_of_untrusted_recipes_are_limited(
    tmp_path: Path, room: Path, toy_model: Path, name: str, value: object
) -> None:
    data = json.loads(read_tags(room / "clip.mp4")[RECIPE])
    data["settings"][name] = value
    recipe = Recipe.model_validate(data)
    with pytest.raises(ReactiveError):
        repeat_clip(recipe, room / "song.wav", tmp_path / "x.mp4", model=str(toy_model))
    assert list(tmp_path.iterdir()) == []


def test_malicious_boxes_are_cheap_to_refuse(tmp_path: Path) -> None:
    def refused(raw: bytes) -> str:
        path = tmp_path / "c.mp4"
        path.write_bytes(struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + raw)
        with pytest.raises(MediaError) as caught:
            read_recipe(path)
        return str(caught.value)

    identifier = bytes.fromhex("6f0f2b0e7d0a4a579d8e9d6d8ee1c3a2")
    assert "no recipe" in refused(struct.pack(">I4s", 4, b"free"))
    assert "no recipe" in refused(struct.pack(">I4sQ", 1, b"uuid", 1 << 63) + identifier)
    assert "no recipe" in refused(struct.pack(">I4s", 1 << 31, b"uuid") + identifier)
    assert "no recipe" in refused(struct.pack(">I4s", 8, b"uuid") + identifier)
    assert "UTF-8" in refused(struct.pack(">I4s", 26, b"uuid") + identifier + b"\xff\xfe")
    large = struct.pack(">I4s", 24 + MAX_TAG + 1, b"uuid") + identifier + bytes(MAX_TAG + 1)
    assert "4,000,001 bytes" in refused(large)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    with pytest.raises(MediaError):
        read_tags(tmp_path / "list.mp4")
    assert XMP not in read_tags(with_recipe(tmp_path / "d.mp4", "{}"))


def test_the_commands(tmp_path: Path, room: Path, toy_model: Path) -> None:
    def said(*arguments: str):
        return CliRunner().invoke(main, list(arguments))

    clip = str(room / "clip.mp4")
    assert said("preset", "extract", clip).output == PRESET
    done = said("preset", "extract", clip, "-o", str(tmp_path / "found.toml"))
    assert done.exit_code == 0
    assert find_preset(str(tmp_path / "found.toml")).read_text() == PRESET
    assert said("preset", "extract", clip, "-o", str(tmp_path / "found.toml")).exit_code == 1
    assert json.loads(said("preset", "extract", clip, "--json").stdout)["settings"]["seed"] == 5
    song, out = str(room / "song.wav"), str(tmp_path / "again.mp4")
    done = said("run", song, "--recipe", clip, "--model", str(toy_model), "-o", out, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["differs"] == []
    assert contents(Path(out))[1] == contents(room / "clip.mp4")[1]
    done = said("run", song, "--recipe", clip, "--seed", "9", "-o", str(tmp_path / "b.mp4"))
    assert done.exit_code == 2
    assert "--seed" in done.output
    refused = said("run", song, "--recipe", clip, "--model", str(toy_model), "-o", clip, "--overwrite")
    assert refused.exit_code == 1
    assert len(contents(room / "clip.mp4")[0]) == 72
    done = said(
        "run", song, "--model", str(toy_model), "--duration", "0.2", "--no-recipe", "-o", str(tmp_path / "n.mp4")
    )
    assert done.exit_code == 0, done.output
    assert said("preset", "extract", str(tmp_path / "n.mp4")).exit_code == 1


def test_files_saved_during_a_render_change_neither_clip_nor_recipe(
    tmp_path: Path, room: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "own.toml": PRESET + '[lyrics]\nfile = "words.lrc"\n[overlay]\nlyrics = true\n',
        "words.lrc": "[00:00.10]a lamp\n",
        "own.shots.toml": "version = 1\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    decide = run.resolve_timeline

    def saved_meanwhile(*arguments):
        for name in texts:
            (tmp_path / name).write_text("neither a preset, nor words, nor edits")
        return decide(*arguments)

    monkeypatch.setattr(run, "resolve_timeline", saved_meanwhile)
    given = {"preset": str(tmp_path / "own.toml"), "shots": tmp_path / "own.shots.toml", "duration": 0.5}
    make_clip(room / "song.wav", tmp_path / "clip.mp4", chosen(room, toy_model, **given))
    recipe = read_recipe(tmp_path / "clip.mp4")
    assert recipe.preset is not None
    assert recipe.shots is not None
    assert recipe.lyrics is not None
    assert recipe.preset.text == texts["own.toml"]
    assert recipe.shots.text == texts["own.shots.toml"]
    assert recipe.lyrics.sha256 == hashlib.sha256(texts["words.lrc"].encode()).hexdigest()
