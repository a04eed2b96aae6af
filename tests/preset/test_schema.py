"""The preset schema and its error messages."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from reactive.errors import PresetError
from reactive.preset.library import find_preset, get_preset, names
from reactive.preset.schema import check_preset, load_preset, parse_length

SMALL: dict[str, Any] = {
    "version": 1,
    "title": "Small",
    "phase": [{"name": "one", "prompts": ["a grey sea"]}],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(SMALL)
    target: Any = data
    *way, last = path.split(".")
    for key in way:
        target = target[int(key)] if key.isdigit() else target.setdefault(key, {})
    target[last] = value
    return data


def test_the_smallest_preset_is_valid() -> None:
    preset = check_preset(SMALL, where="small")
    assert preset.phase[0].switch.every == "2 bars"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("walk", "0.1 + lowd", ["walk", "lowd", "did you mean low"]),
        ("wlak", "1", ["unknown key wlak", "did you mean walk"]),
        ("phase.0.swich", {}, ["unknown key phase.1.swich", "did you mean switch"]),
        ("phase.0.switch", {"every": "2 frames"}, ["phase.1.switch.every", "2 frames", "2 bars"]),
        ("phase.0.switch", {"how": "wipe"}, ["how", "wipe"]),
        ("phase.0.mode", "dream", ["mode", "dream"]),
        ("phase.0.prompts", [], ["prompts"]),
        ("phase.0.prompts", ["a\x1b[31mred"], ["control characters"]),
        ("phase.0.fits", "phase.progress", ["fits", "not known yet"]),
        ("phase.0.bars", [9, 3], ["bars"]),
        ("feedback", {"rate": float("nan")}, ["rate"]),
        ("feedback", {"rate": float("inf")}, ["rate"]),
        ("lens", {"zoom": 1e400}, ["zoom"]),
        ("version", 7, ["version = 7", "version 1"]),
        ("phase", [SMALL["phase"][0], SMALL["phase"][0]], ["same name"]),
    ],
)
def test_errors_name_file_key_value_and_remedy(path: str, value: Any, words: list[str]) -> None:
    with pytest.raises(PresetError) as caught:
        check_preset(changed(path, value), where="my.toml")
    line = str(caught.value)
    assert line.startswith("my.toml: ")
    assert "\n" not in line
    assert caught.value.remedy
    for word in words:
        assert word.lower() in line.lower()


def test_a_missing_key_is_named() -> None:
    with pytest.raises(PresetError, match="title is missing"):
        check_preset({"version": 1, "phase": SMALL["phase"]}, where="my.toml")


def test_broken_files_are_reported_in_one_line(tmp_path: Path) -> None:
    for name, content in [("a.toml", b"title = "), ("b.toml", b"\xff\xfe\x00"), ("c.toml", b"x = " + b"[" * 5000)]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PresetError) as caught:
            load_preset(tmp_path / name)
        assert name in str(caught.value)
    (tmp_path / "huge.toml").write_bytes(b"#" * 3_000_000)
    with pytest.raises(PresetError, match="larger"):
        load_preset(tmp_path / "huge.toml")


def test_lengths() -> None:
    assert (parse_length("2 bars").count, parse_length("2 bars").unit) == (2, "bar")
    assert (parse_length("1/2 beat").count, parse_length("1/2 beat").unit) == (0.5, "beat")
    for text in ("", "bars", "0 bars", "-1 bar", "2 seconds", "1/0 bar", "99999 bars"):
        with pytest.raises(ValueError, match="length"):
            parse_length(text)


def test_similar_names_are_suggested() -> None:
    with pytest.raises(PresetError, match="loop-destroy"):
        find_preset("loop-destory")


def test_every_bundled_preset_is_valid() -> None:
    assert "loop-destroy" in names()
    for name in names():
        preset = get_preset(name)
        assert preset.title
        assert preset.licence


def test_loop_destroy_matches_its_description() -> None:
    preset = get_preset("loop-destroy")
    assert [phase.name for phase in preset.phase] == ["build", "bloom", "destroy", "restart"]
    prompts = [prompt for phase in preset.phase for prompt in phase.prompts]
    assert len(set(prompts)) == len(prompts) >= 40
    # each has a ground
    assert all(prompt.ground for prompt in prompts)
    assert all("kick" in (phase.lens or preset.lens).zoom for phase in preset.phase)
    assert any(phase.mode == "feedback" and phase.camera and phase.strength for phase in preset.phase)
    assert preset.loop
