"""``reactive imagery`` and ``--photos`` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from reactive.cli import main
from reactive.sources.imagery import library
from tests.toy import beat_song, write_song

PRESET = """version = 2
title = "Photo"
author = "A band"
[[phase]]
name = "one"
mode = "photo"
prompts = ["a grey sea", "a red door"]
[phase.source]
every = "1 bar"
"""


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.fast
def test_list_names_every_picture() -> None:
    lines = invoke("imagery", "list").output.splitlines()
    assert [line.split()[0] for line in lines] == [entry.name for entry in library()]
    told = json.loads(invoke("imagery", "list", "--json").output)
    assert all(one["licence"] and one["author"] and Path(one["path"]).is_file() for one in told)


@pytest.mark.fast
def test_show_prints_everything_about_one_picture() -> None:
    done = invoke("imagery", "show", "lighthouse")
    assert done.exit_code == 0
    for word in ("caption", "author", "CC0", "https://", "lighthouse.webp"):
        assert word in done.output


@pytest.mark.fast
def test_show_finds_pictures_by_words() -> None:
    done = invoke("imagery", "show", "a", "burning", "city", "at", "night")
    assert done.output.splitlines()[0].split()[3] == "burning-city"
    (first, *_) = json.loads(invoke("imagery", "show", "ruined columns in the desert", "--json").output)
    assert first["how"] == "words"
    assert 0 < first["score"] <= 1
    assert "no photograph" in invoke("imagery", "show", "xyzzy").output.lower()


def test_a_folder_of_photographs_is_used(tmp_path: Path) -> None:
    write_song(tmp_path / "song.wav", beat_song(4))
    (tmp_path / "photo.toml").write_text(PRESET)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("b.png", "a.png", "given.png"):
        place = tmp_path if name == "given.png" else folder
        Image.fromarray(np.full((36, 64, 3), 90, np.uint8)).save(place / name)
    (folder / "notes.txt").write_text("not a picture")
    common = ["timeline", str(tmp_path / "song.wav"), "--preset", str(tmp_path / "photo.toml")]
    done = invoke(
        *common, "--photo", str(tmp_path / "given.png"), "--photos", str(folder), "-o", str(tmp_path / "t.json")
    )
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "t.json").read_text())["photos"] == ["given.png", "a.png", "b.png"]
    failed = invoke(*common, "--photos", str(tmp_path / "gone"))
    assert failed.exit_code == 1
    assert "not a folder" in failed.output
