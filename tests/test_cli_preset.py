"""``reactive preset`` as a user meets it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from reactive.cli import main
from reactive.media.video import rgb_pairs
from reactive.preset.describe import prompt_count
from reactive.preset.library import get_preset, names
from reactive.preset.schema import load_preset
from tests.toy import beat_song, write_song


def invoke(*arguments: str):
    return CliRunner().invoke(main, ["preset", *arguments])


def test_the_table_lists_every_preset_within_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    done = invoke("list")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("name ")
    for name in names():
        assert f"\n{name} " in done.output
    assert max(map(len, done.output.splitlines())) <= 110
    rows = json.loads(invoke("list", "--json").stdout)["presets"]
    assert [row["name"] for row in rows] == names()
    for row in rows:
        assert all(row[key] for key in ("title", "description", "author", "licence", "music", "model")), row
        assert row["prompts"] >= 20


def test_a_preset_is_shown_readable_or_as_its_file() -> None:
    for name in names():
        shown = invoke("show", name)
        assert shown.exit_code == 0, shown.output
        preset = load_preset(Path("presets") / name / "preset.toml") if Path("presets").is_dir() else None
        if preset:
            assert preset.description.split()[0] in shown.output
            assert all(f"\n{phase.name}: " in shown.output for phase in preset.phase)
    assert tomllib.loads(invoke("show", "drift", "--toml").output)["title"] == "Drift"
    assert json.loads(invoke("show", "drift", "--json").stdout)["title"] == "Drift"


def test_the_schema_is_json_and_knows_the_keys() -> None:
    schema = json.loads(invoke("schema").stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"phase", "macro", "pin", "lyrics", "words"} <= schema["properties"].keys()
    assert schema["additionalProperties"] is False


def test_a_new_preset_is_a_commented_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for source in names():
        made = json.loads(invoke("new", f"my-{source}", "--from", source, "--json").stdout)
        text = Path(made["file"]).read_text(encoding="utf-8")
        assert text.startswith("#:schema")
        assert sum(line.startswith("#") for line in text.splitlines()) > 20
        preset = load_preset(Path(made["file"]))
        assert preset.title == f"My {source}".replace("-", " ")
        assert preset.author == ""
    assert invoke("check", "my-drift").exit_code == 0
    for arguments, word in (
        (["my-drift"], "exists already"),
        (["My Preset"], "small letters"),
        (["../up"], "small letters"),
        (["x", "--from", "drfit"], "drift"),
        (["x", "--folder", "missing"], "can't be written"),
    ):
        done = invoke("new", *arguments)
        assert done.exit_code == 1
        assert word in done.output
        assert len(done.output.strip().splitlines()) == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(f"my-{source}" for source in names())


def test_check_describes_a_preset_on_a_song(tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav", beat_song(8))
    done = invoke("check", "loop-destroy", str(song))
    assert done.exit_code == 0, done.output
    for word in ("valid preset", "switches", "Busiest", f"prompts of {prompt_count(get_preset('loop-destroy'))}"):
        assert word in done.output
    facts = json.loads(invoke("check", "loop-destroy", str(song), "--json").stdout)
    assert facts["song"]["frames"] == 192
    old = tmp_path / "old.toml"
    old.write_text('version = 1\ntitle = "Old"\n[[phase]]\nname = "a"\nprompts = ["sea"]\n')
    assert "version 1" in invoke("check", str(old)).output


def test_check_takes_photographs_as_run_does(tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav", beat_song(8))
    fed = tmp_path / "fed.toml"
    fed.write_text('version = 2\ntitle = "Fed"\n[[phase]]\nname = "a"\nprompts = ["sea"]\nmode = "photo"\n')
    shots = tmp_path / "holiday"
    shots.mkdir()
    for name in ("one", "two"):
        Image.new("RGB", (64, 48), "red").save(shots / f"{name}.png")
    without = invoke("check", str(fed), str(song)).output
    assert "Note:" in without
    assert "none are given (--photo)" in without
    for options in (["--photos", str(shots)], ["--photo", str(shots / "one.png")]):
        done = invoke("check", str(fed), str(song), *options)
        assert done.exit_code == 0, done.output
        assert "Note:" not in done.output
    fed.write_text(fed.read_text().replace('mode = "photo"', 'mode = "photo"\n[phase.ground]\nown = true'))
    shown = invoke("check", str(fed), str(song), "--photos", str(shots)).output
    assert "one.png" in shown
    # a preset that takes none says so, with and without a song
    bare = tmp_path / "bare.toml"
    bare.write_text('version = 2\ntitle = "Bare"\n[[phase]]\nname = "a"\nprompts = ["sea"]\n')
    assert "shows no photographs" in invoke("check", str(bare), "--photos", str(shots)).output
    assert "Note:" not in invoke("check", str(bare)).output
    gone = invoke("check", str(fed), str(song), "--photo", str(tmp_path / "gone.jpg"))
    assert gone.exit_code == 1
    assert "gone.jpg" in gone.output


def test_preset_try_takes_what_try_takes(tmp_path: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_song(tmp_path / "song.wav", beat_song(8))
    Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save("band.png")
    small = [
        "--duration",
        "4",
        "--fps",
        "24",
        "--size",
        "64x48",
        "--imagine-size",
        "64x48",
        "--model",
        str(toy_model),
        "--steps",
        "1",
    ]
    done = invoke("try", "drift", "song.wav", *small, "--photo", "band.png", "--start", "1", "--json")
    assert done.exit_code == 0, done.output
    clip = json.loads(done.stdout)
    assert clip["duration"] == pytest.approx(4, abs=0.1)
    assert "96 frames" in done.stderr
    # segments of a trial are not kept
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["band.png", "song-try.mp4", "song.wav"]
    assert "frames/s were measured here before" in invoke("try", "drift", "song.wav", *small).stderr


def test_run_takes_lyrics_and_macros(tmp_path: Path, toy_model: Path) -> None:
    song = write_song(tmp_path / "song.wav", beat_song(4))
    (tmp_path / "song.lrc").write_text("[00:01.00]a ship comes in\n[00:03.00]and goes\n")
    arguments = ["--preset", "sung", "--lyrics", str(tmp_path / "song.lrc"), "--macro", "lean=1"]
    timeline = CliRunner().invoke(main, ["timeline", str(song), *arguments, "-o", str(tmp_path / "t.json")])
    assert timeline.exit_code == 0, timeline.output
    assert "a ship comes in, oil painting" in (tmp_path / "t.json").read_text()
    run = ["run", str(song), *arguments, "--model", str(toy_model), "--steps", "1", "--fps", "6", "--size", "320x180"]
    plain, titled = tmp_path / "plain.mp4", tmp_path / "titled.mp4"
    assert CliRunner().invoke(main, [*run, "-o", str(plain)]).exit_code == 0
    done = CliRunner().invoke(main, [*run, "-o", str(titled), "--title", "A SHIP", "--show-lyrics"])
    assert done.exit_code == 0, done.output
    pairs = zip(rgb_pairs(plain, size=(32, 18)), rgb_pairs(titled, size=(32, 18)), strict=True)
    change = [np.abs(one[0].astype(int) - two[0]).mean(axis=2) for one, two in pairs]
    assert len(change) == 24
    # the title is in the lower left corner, the line at the bottom in the middle; above them there is nothing
    assert max(part[120:, :160].max() for part in change) > 60
    assert max(part[:60].max() for part in change) < 40
    for wrong, word in ((["--macro", "laen=1"], "lean"), (["--lyrics", "missing.lrc"], "missing.lrc")):
        done = CliRunner().invoke(main, ["timeline", str(song), "--preset", "sung", *wrong])
        assert done.exit_code == 1
        assert word in done.output


def test_every_bundled_preset_has_a_small_poster() -> None:
    from PIL import Image

    from reactive.preset.library import shipped_folder

    for name in names():
        poster = shipped_folder() / name / "poster.jpg"
        assert poster.stat().st_size <= 60_000, name
        with Image.open(poster) as picture:
            assert picture.size == (960, 540)
