"""``reactive try``: small clips soon, and several beside each other."""

from __future__ import annotations

import json
from pathlib import Path

import av
import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from reactive.cli import main
from reactive.cli.trying import parse_seeds, variants
from reactive.render.compare import CAPTION, GAP, grid_shape
from tests.toy import beat_song, write_song

SIZE = (64, 48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("try")
    write_song(place / "song.wav", beat_song(8))
    return place


def test_seeds_are_ranges_and_lists() -> None:
    assert parse_seeds("1-3") == [1, 2, 3]
    assert parse_seeds("5, 3,5") == [5, 3]
    for wrong in ("6-1", "a", "1-99", "1.5"):
        with pytest.raises(click.BadParameter, match="names no seeds"):
            parse_seeds(wrong)


def test_captions_name_the_options_that_differ() -> None:
    told = {"presets": "", "preset": "drift", "seed": 4, "seeds": "", "macros": ("calm=0.2", "glow=0,1")}
    found = variants(told)
    assert [one.caption for one in found] == ["glow=0", "glow=1"]
    assert [one.choices["macros"] for one in found] == [("calm=0.2", "glow=0"), ("calm=0.2", "glow=1")]
    several = variants({**told, "presets": "drift,forge", "seeds": "1-2", "macros": ()})
    assert [one.caption for one in several] == [
        "drift, seed 1",
        "drift, seed 2",
        "forge, seed 1",
        "forge, seed 2",
    ]
    assert [one.caption for one in variants({**told, "macros": ()})] == ["drift"]
    with pytest.raises(click.UsageError, match="more than"):
        variants({**told, "seeds": "1-36"})


def test_two_seeds_play_side_by_side(folder: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    size = "x".join(map(str, SIZE))
    small = ["--fps", "4", "--duration", "1.5", "--size", size, "--imagine-size", size, "--steps", "1"]
    done = CliRunner().invoke(
        main, ["try", "song.wav", "-p", "drift", "--seeds", "1-2", "--json", "--model", str(toy_model), *small]
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["clips"] == ["seed 1", "seed 2"]
    assert grid_shape(2) == (2, 1)
    with av.open("song-try.mp4") as film:
        shown = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
        assert film.streams.audio
    assert len(shown) == told["frames"] == 6
    top, width = GAP + CAPTION, SIZE[0]
    left = shown[3][top : top + SIZE[1], GAP : GAP + width]
    right = shown[3][top : top + SIZE[1], 2 * GAP + width : 2 * GAP + 2 * width]
    # the encoder blurs edges; two seeds differ by far more
    assert np.abs(left - right).mean() > 8
    with Image.open("song-try.jpg") as sheet:
        assert sheet.size[1] == 2 * (SIZE[1] + CAPTION + GAP) + GAP
    assert sorted(entry.name for entry in folder.iterdir()) == ["song-try.jpg", "song-try.mp4", "song.wav"]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["missing.wav"], 1, "missing.wav"),
        (["song.wav", "--seeds", "six"], 2, "names no seeds"),
        (["song.wav", "-o", "song.wav"], 1, "song.wav"),
        (["song.wav", "--seeds", "1-2", "--sheet", "sheet.txt"], 1, "sheet.txt"),
    ],
)
def test_errors_are_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, word: str
) -> None:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(main, ["try", *arguments])
    assert done.exit_code == code, done.output
    assert word in done.output
