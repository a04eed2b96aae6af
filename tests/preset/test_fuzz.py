"""More than 10,000 malformed presets, bundles and recipes: each is accepted or refused with a message, quickly, without stray files."""

from __future__ import annotations

import contextlib
import copy
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reactive.errors import ReactiveError
from reactive.preset.bundle import install
from reactive.preset.installed import PRESET_FILE
from reactive.preset.schema import check_preset, load_preset
from reactive.preset.toml import parse_toml
from reactive.render.recipe import Recipe, read_recipe
from tests.effort import within
from tests.examples import scaled
from tests.preset.hostile import PRESET, Part, bundle_bytes, manifest_of, tensors, tree, zip_bytes
from tests.render.test_recipe import with_recipe

TEXTS, TABLES, BUNDLES, RECIPES = 4000, 3000, 3500, 500
# units of work allowed for one
WORK = 50
RICH = """version = 2
title = "Rich"
description = "All of the language"
author = "A band"
licence = "CC0-1.0"
style = "wide shot"
negative = "text"
walk = "0.1 + 0.2 * smooth(loudness, 0.5) - decay(kick, 0.25) / max(rms, 0.1)"
strength = "clamp(0.3 + macro.storm, 0, 1)"
[words]
material = ["glass", "ice"]
[variables]
place = "harbour"
[[macro]]
name = "storm"
default = 0.5
[[pin]]
at = "drop 1"
prompt = "a white sun over the {place}"
[lens]
zoom = "1 + 0.1 * swell(bar, 0.4)"
rotate = "wander(4, 1) - 0.5"
[feedback]
rate = 12.0
fresh = 0.7
[[phase]]
name = "calm"
fits = "1 - section.energy"
bars = [4, 16]
prompts = ["a {material} cathedral", {text = "a red door", weight = 2}]
[phase.switch]
every = "2 bars"
over = "1 bar"
[[phase]]
name = "wild"
mode = "feedback"
order = "sequence"
prompts = ["storm {high|low}"]
[phase.camera]
zoom = "1.2"
"""
TOKENS = [
    "",
    "(",
    ")" * 50,
    "[",
    "]",
    "{",
    "}",
    '"',
    '"""',
    "'",
    "\\",
    "\\u001b",
    "\x1b[2J",
    "\x00",
    "\u202e",
    "\n",
    "\r",
    "=",
    ".",
    "a." * 40,
    "nan",
    "-inf",
    "1e400",
    "9" * 400,
    "-1",
    "0x_",
    "true",
    "null",
    "<script>",
    "../../",
    "C:\\",
    "smooth(" * 60,
    "{{",
    "}}",
    "{}",
    "{material}",
    "[[phase]]",
    "[[phase]]\n",
    "[lens]\n",
    "version = 3\n",
    "macro.",
    "/0",
    "**",
    ",",
    "#",
    "é",
    "\ud7ff",
    "😀" * 30,
    "1979-05-27T07:32:00Z",
    "drop 0",
    "bars",
    "1/0 bar",
    "x" * 3000,
]
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1 << 70,
    1.5,
    float("nan"),
    float("inf"),
    -1e308,
    "",
    "x",
    "1 + ",
    "(" * 500,
    "\x1b",
    "<b>",
    "9" * 5000,
    "{a}",
    [],
    [[]],
    ["a"] * 6000,
    {},
    {"a": {}},
    {"text": 1},
    [1, 2],
    [None],
    ["x" * 5000],
    {"x" * 5000: 1},
    "2 bars",
    "walk",
]
seen: Counter[str] = Counter()

fuzzed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
edits = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 30), st.sampled_from(TOKENS)), min_size=1, max_size=4)


def edited(text: str, changes: list[tuple[int, int, str]]) -> str:
    for place, length, token in changes:
        at = place % (len(text) + 1)
        text = text[:at] + token + text[at + length :]
    return text


def taken(kind: str, call: Any) -> Any:
    """Return a call's result, or None if it refuses with a message; count the outcomes."""

    def outcome() -> tuple[Any, ReactiveError | None]:
        try:
            return call(), None
        except ReactiveError as refused:
            return None, refused

    result, error = within(WORK, outcome)
    if error is None:
        seen[f"{kind}: taken"] += 1
    else:
        assert 0 < len(str(error)) < 3000
        # the shape of the message, without names and numbers
        seen[f"{kind}: " + re.sub(r'".*"|\d+|=.*?:', "", error.what)[:40]] += 1
    return result


def kinds(kind: str) -> int:
    return sum(1 for key in seen if key.startswith(kind))


@settings(fuzzed, max_examples=scaled(TEXTS))
@given(st.sampled_from([RICH, PRESET]), edits)
def check_texts_of_presets(folder: Path, text: str, changes: list[tuple[int, int, str]]) -> None:
    file = folder / PRESET_FILE
    file.write_bytes(edited(text, changes).encode("utf-8", "surrogatepass"))
    taken("text", lambda: load_preset(file))
    seen["text"] += 1


def test_malformed_texts(tmp_path: Path) -> None:
    assert load_preset(_written(tmp_path / PRESET_FILE, RICH)).title == "Rich"
    check_texts_of_presets(tmp_path)
    assert seen["text"] >= TEXTS
    assert seen["text: taken"] > 100
    assert kinds("text: ") > 25
    assert tree(tmp_path) == [PRESET_FILE]


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _paths(data: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [way, *(path for key, value in below for path in _paths(value, (*way, key)))]


DATA = parse_toml(RICH, where="rich")
PATHS = _paths(DATA)[1:]


@settings(fuzzed, max_examples=scaled(TABLES))
@given(st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(range(len(VALUES)))), min_size=1, max_size=3))
def check_tables(changes: list[tuple[tuple[Any, ...], int]]) -> None:
    data = copy.deepcopy(DATA)
    for path, number in changes:
        target: Any = data
        for key in path[:-1]:
            try:
                target = target[key]
            except (LookupError, TypeError):
                target = None
        # an earlier change may have replaced the parent of this one
        with contextlib.suppress(LookupError, TypeError):
            target[path[-1]] = VALUES[number]
    taken("table", lambda: check_preset(data, where="fuzzed"))
    seen["table"] += 1


def test_malformed_tables() -> None:
    check_tables()
    assert seen["table"] >= TABLES
    assert seen["table: taken"] > 20
    assert kinds("table: ") > 25


NAMES = [
    "a.txt",
    "A.txt",
    "photos/b.txt",
    "../evil.txt",
    "/evil.txt",
    "C:evil.txt",
    "nul.txt",
    "a.txt/b.txt",
    "x.svg",
    "y.py",
    "z.safetensors",
    "p.png",
    "v.mp4",
    "w.lrc",
    "f.ttf",
    PRESET_FILE,
    "manifest.json",
    "a\u202e.txt",
    "e\u0301.txt",
    "e" * 200 + ".txt",
    "<b>.txt",
]
HEADER = tensors(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', bytes(4))
BODIES = [
    b"fine words\n",
    b"",
    b"\x1b[2J",
    b"<script>",
    b"\xff\xfe",
    b"\x89PNG\r\n\x1a\n" + bytes(40),
    HEADER,
    b"#EXTM3U\n/etc/passwd\n",
    b"x" * 5000,
]
FIELDS: dict[str, list[Any]] = {
    "deflate": [True],
    "flags": [0, 1, 8, 0x801, 0x841, 0xFFFF],
    "method": [0, 1, 8, 12, 99],
    "crc": [0, 1 << 31],
    "mode": [0, 0o120777, 0o040755, 0o020666, 0o100777],
    "size": [0, 1, 1 << 31],
    "packed": [0, 1, 1 << 31],
    "offset": [0, 7, 1 << 30],
    "local_name": [b"../e.t"],
    "listed": [{"size": 3}, {"packed": 3}, {"crc": 3}],
}
MANIFEST: dict[str, list[Any]] = {
    "name": ["other", "../evil", "loop-destroy", "con", "", 7, "x" * 300],
    "version": [2, "1", None],
    "title": ["\x1b", "<b>", 3],
    "reactive": ["0.0.1", "99", "x"],
    "files": [{}, [], {"a": {"sha256": "0" * 64, "bytes": -1}}],
    "surprise": [1],
    "format": ["zip"],
}
one_field = st.sampled_from([(key, value) for key, values in FIELDS.items() for value in values])
one_claim = st.sampled_from([(key, value) for key, values in MANIFEST.items() for value in values])


@settings(fuzzed, max_examples=scaled(BUNDLES))
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(BODIES), st.booleans()), max_size=3),
    st.lists(st.tuples(st.integers(0, 5), one_field), max_size=2),
    st.lists(one_claim, max_size=1),
    edits | st.just([]),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=3),
)
def check_bundles(
    root: Path,
    more: list[tuple[str, bytes, bool]],
    fields: list[tuple[int, tuple[str, Any]]],
    claims: list[tuple[str, Any]],
    changes: list[tuple[int, int, str]],
    bytes_changed: list[tuple[int, int]],
) -> None:
    files = {PRESET_FILE: edited(PRESET, changes).encode("utf-8", "surrogatepass")}
    files |= {name: body for name, body, listed in more if listed and name not in (PRESET_FILE, "manifest.json")}
    parts = [Part("manifest.json", manifest_of(files, **dict(claims)))]
    parts += [Part(name, body) for name, body in files.items()]
    parts += [Part(name, body) for name, body, listed in more if not listed]
    for number, (key, value) in fields:
        setattr(parts[number % len(parts)], key, value)
    raw = bytearray(zip_bytes(parts))
    for place, value in bytes_changed:
        raw[place % len(raw)] = value
    bundle = root / "sent.reactive"
    bundle.write_bytes(raw)
    done = taken("bundle", lambda: install(bundle))
    seen["bundle"] += 1
    presets = root / "data" / "presets"
    if done is None:
        assert tree(presets) == []
    else:
        # complete, and no other files
        assert [path.name for path in presets.iterdir()] == [done.folder.name]
        assert {name for name in tree(done.folder) if (done.folder / name).is_file()} == {
            *done.manifest.files,
            "manifest.json",
        }
        load_preset(done.folder / PRESET_FILE)
        shutil.rmtree(done.folder)
    assert sorted(path.name for path in root.iterdir()) in (["data", "sent.reactive"], ["sent.reactive"])


def test_malformed_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setenv("REACTIVE_DATA", str(root / "data"))
    monkeypatch.chdir(root)
    _written(tmp_path / "outside.txt", "untouched")
    (root / "sent.reactive").write_bytes(bundle_bytes({"README.md": b"fine"}))
    assert install(root / "sent.reactive").fresh
    shutil.rmtree(root / "data")
    check_bundles(root)
    assert seen["bundle"] >= BUNDLES
    assert seen["bundle: taken"] > 20
    assert kinds("bundle: ") > 25
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside.txt", "root"]
    assert (tmp_path / "outside.txt").read_text() == "untouched"


RECIPE = json.dumps(
    {
        "format": "reactive-recipe",
        "version": 1,
        "reactive": "0.1.0",
        "libraries": {"torch": "2.13.0"},
        "machine": "Linux x86_64",
        "song": {"name": "song.wav", "sha256": "0" * 64},
        "preset": None,
        "timeline": None,
        "lyrics": None,
        "model": {"name": "ember", "sha256": "1" * 64},
        "photos": [{"name": "a.jpg", "sha256": "2" * 64}],
        "settings": {"fps": "24", "size": [64, 64], "seed": 3, "macros": {"storm": 0.5}},
        "decided": "3" * 64,
    }
)


@settings(fuzzed, max_examples=scaled(RECIPES))
@given(edits)
def check_recipes(folder: Path, changes: list[tuple[int, int, str]]) -> None:
    text = edited(RECIPE, changes).encode("utf-8", "replace").decode()
    taken("recipe", lambda: read_recipe(with_recipe(folder / "clip.mp4", text)))
    seen["recipe"] += 1


def test_malformed_recipes(tmp_path: Path) -> None:
    assert isinstance(read_recipe(with_recipe(tmp_path / "clip.mp4", RECIPE)), Recipe)
    check_recipes(tmp_path)
    assert seen["recipe"] >= RECIPES
    assert tree(tmp_path) == ["clip.mp4"]


def test_there_are_ten_thousand_of_them() -> None:
    assert TEXTS + TABLES + BUNDLES >= 10_000
