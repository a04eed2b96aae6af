"""``reactive shots`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from reactive.cli import main
from tests.toy import beat_song, write_song


def invoke(*arguments: str):
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shots")
    write_song(place / "song.wav", beat_song(12))
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(place / "door.jpg")
    return place


def test_shots_are_listed_changed_and_rendered(folder: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    shots = json.loads(invoke("shots", "song.wav", "--json").stdout)["shots"]
    assert shots[0]["name"] == "section 1 / shot 1"
    assert len(shots) > 3
    assert not Path("song.shots.toml").exists()
    sheet = ["-o", "sheet.png", "--model", str(toy_model), "--steps", "1"]
    done = invoke("shots", "song.wav", *sheet)
    assert done.exit_code == 0, done.output
    before = np.asarray(Image.open("sheet.png")).astype(int)
    name = shots[1]["name"]
    changed = json.loads(invoke("shots", "song.wav", "--shot", name, "--roll", "--json", *sheet).stdout)
    assert changed["shots"][1]["mark"] == "rolled"
    assert changed["shots"][1]["seed"] != shots[1]["seed"]
    after = np.asarray(Image.open("sheet.png")).astype(int)
    moved = np.abs(after - before).max(axis=2) > 0
    # only the second tile has changed
    assert moved[:, 250:490].any()
    assert not moved[:, :246].any()
    assert not moved[:, 500:].any()
    timeline = invoke("timeline", "song.wav", "-o", "t.json")
    assert timeline.exit_code == 0
    assert str(changed["shots"][1]["seed"]) in Path("t.json").read_text()
    invoke("timeline", "song.wav", "-o", "plain.json", "--no-shots")
    assert str(changed["shots"][1]["seed"]) not in Path("plain.json").read_text()
    photo = invoke(
        "shots", "song.wav", "--shot", "1", "--own-photo", "door.jpg", "--prompt", "a red door", "--own-seed", "4"
    )
    assert photo.exit_code == 0, photo.output
    run = ["--model", str(toy_model), "--steps", "1", "--fps", "4", "--duration", "2", "-o", "clip.mp4"]
    clip = invoke("run", "song.wav", *run)
    assert clip.exit_code == 0, clip.output
    assert "song.shots.toml" in clip.output
    Path("song.shots.toml").rename("kept.toml")
    again = invoke("run", "song.wav", "--recipe", "clip.mp4", "--model", str(toy_model), "-o", "again.mp4")
    assert again.exit_code == 0, again.output
    assert "Made again." in again.output
    Path("kept.toml").rename("song.shots.toml")
    assert "locked" in invoke("shots", "song.wav", "--shot", "1", "--lock").output
    refused = invoke("shots", "song.wav", "--shot", "1", "--roll")
    assert refused.exit_code == 1
    assert "--unlock" in refused.output
    assert invoke("shots", "song.wav", "--shot", "1", "--reset").exit_code == 0
    Path("song.shots.toml").unlink()


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--roll"], 2, "--shot"),
        (["--at", "1:23", "--roll"], 1, "--at"),
        (["--at", "1:99", "--roll"], 2, "is no time"),
        (["--shot", "drop 9 / shot 1", "--roll"], 1, "no shot"),
        (["--shot", "1", "--own-photo", "missing.jpg"], 1, "missing.jpg"),
        (["--shot", "1", "--prompt", "a\x1bb"], 1, "control characters"),
        (["-o", "sheet.txt"], 1, "sheet.txt"),
        (["-o", "song.wav"], 1, "made from"),
        (["--shots", "song.wav"], 1, "song.wav"),
    ],
)
def test_errors_are_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, word: str
) -> None:
    monkeypatch.chdir(folder)
    kept = sorted(entry.name for entry in folder.iterdir())
    done = invoke("shots", "song.wav", *arguments)
    assert done.exit_code == code, done.output
    assert word in done.output
    if code == 1:
        assert len(done.output.strip().splitlines()) == 1
    assert sorted(entry.name for entry in folder.iterdir()) == kept


def test_what_matters_in_a_photograph_is_seen_in_timelines_and_sheets(
    folder: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    picture = np.zeros((240, 40, 3), np.uint8)
    picture[:60, ..., 0], picture[180:, ..., 2] = 255, 255
    Image.fromarray(picture).save("tall.png")
    Path("still.toml").write_text(
        'version = 2\ntitle = "still"\n\n[[phase]]\nname = "one"\nmode = "photo"\nstrength = 0\nprompts = ["stone"]\n'
    )
    sheets = []
    for focus in ("0.5,0", "0.5,1"):
        given = ["-p", "still.toml", "--photo", f"tall.png@{focus}"]
        done = invoke("timeline", "song.wav", *given, "-o", "t.json")
        assert done.exit_code == 0, done.output
        assert json.loads(Path("t.json").read_text())["focus"] == {"tall.png": [float(x) for x in focus.split(",")]}
        drawn = invoke("shots", "song.wav", *given, "-o", "focus.png", "--model", str(toy_model), "--steps", "1")
        assert drawn.exit_code == 0, drawn.output
        sheets.append(np.asarray(Image.open("focus.png")))
    assert not np.array_equal(*sheets)


@pytest.mark.parametrize(("mode", "says"), [("feedback", True), ("walk", False)])
def test_a_rolled_shot_of_feedback_says_what_else_changes(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str, says: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "song.wav").write_bytes((folder / "song.wav").read_bytes())
    (tmp_path / "p.toml").write_text(
        f'version = 2\ntitle = "P"\n[[phase]]\nname = "one"\nmode = "{mode}"\nstrength = "0.5"\n'
        'prompts = ["a sea", "a tree", "a door"]\n[phase.switch]\nevery = "1 bar"\nhow = "fade"\n'
    )
    listed = json.loads(invoke("shots", "song.wav", "-p", "p.toml", "--json").stdout)["shots"]
    soft = next(number for number in range(len(listed) - 1) if listed[number + 1]["begins"] == "blend")
    told = invoke("shots", "song.wav", "-p", "p.toml", "--shot", listed[soft]["name"], "--roll")
    assert told.exit_code == 0, told.output
    notes = [line for line in told.stderr.splitlines() if "is fed back" in line]
    expected = f"Note: {listed[soft]['name']} is fed back, so the shots after it change too, up to the next cut."
    assert notes == ([expected] if says else [])
