"""Damaged files of every small kind are refused in one line, at once, and leave nothing behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reactive.audio.beats_file import read_beats
from reactive.audio.corrections import NO_CORRECTIONS, corrections_path, load_corrections
from reactive.errors import PresetError
from reactive.exchange.deforum_import import import_deforum
from reactive.media.markers import read_cues
from reactive.preset.fields import MAX_PARTS
from reactive.preset.lyrics import load_lyrics
from reactive.preset.schema import load_preset
from reactive.preset.shots import load_shots
from reactive.preset.toml import parse_toml
from reactive.render.take import load_take
from reactive.timeline.file import load_timeline, timeline_to_text
from reactive.timeline.timeline import INTEGERS, Timeline
from tests.effort import refused_within

READERS: dict[str, Callable[[Path], Any]] = {
    "preset": load_preset,
    "shots": load_shots,
    "timeline": load_timeline,
    "take": load_take,
    "beats": read_beats,
    "words": load_lyrics,
    "markers": read_cues,
    "Deforum settings": import_deforum,
}
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(4096),
    "not UTF-8": b"\xff\xfe\x00a = 1\n",
    "an escape": b"\x1b]0;owned\x07\x1b[2J",
    "deep JSON": b"[" * 200_000,
    "deep JSON in a key": b'{"version": 1, "changes": ' + b'{"a":' * 200_000,
    "deep TOML": b"a = " + b"[" * 200_000,
    "a long number": b'{"version": 1, "changes": [], "prompts": {"0": "x"}, "seed": ' + b"9" * 100_000 + b"}",
    "not a number": b'{"version": NaN}',
    "keys of many parts": b".".join([b"a"] * 200_000) + b" = 1",
    "a string of quotes that never ends": b'a = "' + b'\\"' * 900_000,
    "a text of quotes that never ends": b'a = """' + b'\\"""' * 400_000 + b"\\",
    "entities that grow": f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><x>&l11;</x>'.encode(),
    "an outer entity": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    "a playlist": b"#EXTM3U\n/etc/passwd\n",
    "one endless line": b"0" * 900_000,
    "a zip": b"PK\x03\x04" + bytes(60),
}


def refused(call: Callable[[], Any]) -> str:
    """Return the one-line error of a call that must be refused quickly."""
    line = refused_within(50, call)
    assert 0 < len(line) < 2500
    return line


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", READERS)
def test_damaged_files_are_refused(tmp_path: Path, kind: str, body: str) -> None:
    if (kind, body) == ("shots", "nothing"):
        pytest.skip("a shots file without edits is valid")
    path = tmp_path / "sent.txt"
    path.write_bytes(BODIES[body])
    line = refused(lambda: READERS[kind](path))
    assert "\n" not in line
    assert "passwd" not in line or body == "a playlist"
    assert [entry.name for entry in tmp_path.iterdir()] == ["sent.txt"]


@pytest.mark.parametrize("kind", READERS)
def test_a_gigabyte_a_folder_and_a_pipe_are_refused(tmp_path: Path, kind: str) -> None:
    large = tmp_path / "large.txt"
    # a sparse file: the stated size without data on disk
    with large.open("wb") as handle:
        handle.truncate(1 << 30)
    refused(lambda: READERS[kind](large))
    refused(lambda: READERS[kind](tmp_path))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused(lambda: READERS[kind](tmp_path / "pipe"))


@pytest.mark.parametrize("body", BODIES)
def test_a_damaged_grid_is_named_and_left_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    monkeypatch.setenv("REACTIVE_DATA", str(tmp_path / "data"))
    kept = corrections_path(tmp_path / "song.wav")
    kept.write_bytes(BODIES[body])
    assert load_corrections(tmp_path / "song.wav", "0" * 64) == (
        NO_CORRECTIONS,
        "song.wav.reactive.json can't be read and is not applied.",
    )


@pytest.mark.parametrize(
    "grid",
    [
        {"bpm": float("inf")},
        {"bpm": float("nan")},
        {"downbeat": float("inf")},
        {"beats": [0, float("nan")]},
        {"beats": "x"},
        [],
    ],
)
def test_invalid_numbers_of_a_grid_are_not_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grid: Any) -> None:
    monkeypatch.setenv("REACTIVE_DATA", str(tmp_path / "data"))
    corrections_path(tmp_path / "song.wav").write_text(json.dumps({"song_sha256": "0" * 64, "grid": grid}))
    found, note = load_corrections(tmp_path / "song.wav", "0" * 64)
    assert found == NO_CORRECTIONS
    assert "not applied" in note


def timelines(good: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return damaged timelines by the kind of damage."""
    first = next(name for name in INTEGERS if name in good["columns"])
    many = {**good, "prompts": ["x"] * 1_000_000}
    return {
        "a million prompts": many,
        "a prompt with an escape": {**good, "prompts": ["\x1b[2J"] * len(good["prompts"])},
        "a name with a line end": {**good, "photos": ["a\nb"]},
        "frames without end": {**good, "frames": 20_000_000, "samples": 20_000_000 * 2000, "sample_rate": 48_000},
        "infinite frames": {**good, "frames": float("inf")},
        "infinite feedback": {**good, "feedback_fresh": float("inf")},
        "a column that is infinite": {**good, "columns": {**good["columns"], first: [[0, float("inf")]]}},
        "a column beyond the clip": {**good, "columns": {**good["columns"], first: [[0, 0], [1 << 62, 1]]}},
    }


@pytest.mark.parametrize("case", list(timelines({"prompts": [], "columns": {INTEGERS[0]: 0}})))
def test_inconsistent_timelines_are_refused(tmp_path: Path, beat_timeline: Timeline, case: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(timeline_to_text(beat_timeline))
    assert load_timeline(path).frames == beat_timeline.frames
    spoilt = timelines(json.loads(path.read_text()))[case]
    path.write_text(json.dumps(spoilt))
    refused(lambda: load_timeline(path))


SMALL = 'version = 2\ntitle = "x"\n[[phase]]\nname = "a"\nprompts = ["a"]\n'
TAKE = {
    "version": 1,
    "song_sha256": "0" * 64,
    "fps": "24",
    "seed": 1,
    "photos": [],
    "preset": "a",
    "presets": {"a": SMALL},
    "changes": [],
    "lyrics": {"a": [[0.5, 2.0, "a line"]]},
    "macros": {"storm": 0.5},
}


@pytest.mark.parametrize(
    "change",
    [
        {"presets": {"a": SMALL + ".".join(["a"] * 200_000) + " = 1"}},
        {"presets": {"a": "a = " + "[" * 100_000}},
        {"presets": {"a": SMALL + "#" * 3_000_000}},
        {"presets": {f"p{n}": SMALL for n in range(1000)} | {"a": SMALL}},
        {"presets": {"a": "\x1b[2J"}},
        {"lyrics": {"a": [[0, 1, "\x1b[2J"]]}},
        {"lyrics": {"a": [[float("nan"), 1, "x"]]}},
        {"lyrics": {"a": [[0, 1, "x" * 100_000]]}},
        {"macros": {"storm": float("nan")}},
        {"macros": {"storm": float("inf")}},
        {"seed": float("inf")},
        {"fps": "1e999"},
        {"changes": [{"kind": "prompt", "time": float("nan"), "name": "a", "text": "b"}]},
        {"changes": [{"kind": "prompt", "time": 0, "name": "a", "text": "\x1b[2J"}]},
        {"changes": [{}] * 300_000},
    ],
)
def test_a_take_has_the_same_limits(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "take.json"
    path.write_text(json.dumps(TAKE))
    assert load_take(path).seed == 1
    path.write_text(json.dumps(TAKE | change))
    refused(lambda: load_take(path))


def test_strings_are_skipped_at_once_and_keys_are_still_counted() -> None:
    dots = ".".join("a" * 40)
    assert parse_toml(f'a = "{dots} = 1"\nb = \'{dots}\'\nc = """{dots}\n{dots}"""  # {dots}\n', where="x")["b"] == dots
    for text in (f"{dots} = 1", f'a = "x"\n{dots} = 1', f'a = """x"""\n["b".{dots}]', f"a = 'x' # it's\n{dots} = 1"):
        with pytest.raises(PresetError, match="more than 16 parts"):
            parse_toml(text, where="x")


def test_all_expressions_together_are_limited(tmp_path: Path) -> None:
    wide = " + ".join(["smooth(rms, 9)"] * 100)
    path = tmp_path / "p.toml"
    phases = [f'[[phase]]\nname = "p{n}"\nprompts = ["a"]\nwalk = "{wide}"\n' for n in range(40)]
    path.write_text('version = 2\ntitle = "x"\n' + "".join(phases[:10]))
    assert len(load_preset(path).phase) == 10
    path.write_text('version = 2\ntitle = "x"\n' + "".join(phases))
    assert f"more than {MAX_PARTS} parts" in refused(lambda: load_preset(path))
