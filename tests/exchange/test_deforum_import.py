"""Import of Deforum settings as presets."""

from __future__ import annotations

import json
import tomllib
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from reactive import build_timeline
from reactive.cli import main
from reactive.errors import PresetError
from reactive.exchange.deforum_import import import_deforum
from reactive.preset.schema import load_preset
from reactive.timeline.evaluate import Scope, evaluate
from tests.examples import scaled

SETTINGS: dict[str, Any] = {
    "W": 512,
    "H": 512,
    "fps": 15,
    "max_frames": 240,
    "animation_mode": "2D",
    "diffusion_cadence": 2,
    "prompts": {"0": "a sea at night --neg people", "60": "a red sky", "120": "a tower"},
    "animation_prompts_positive": "film grain",
    "zoom": "0: (1.02)",
    "angle": "0: (0), 100: (0), 101: (2), 102: (0)",
    "translation_x": "0: (10*sin(t))",
    "strength_schedule": "0: (0.65), 59: (0.65), 60: (0.2), 61: (0.65)",
    "seed_behavior": "iter",
    "color_coherence": "LAB",
    "noise_schedule": "0: (0.02)",
}


def made(tmp_path: Path, **changes: Any):
    path = tmp_path / "settings.txt"
    path.write_text(json.dumps(SETTINGS | changes), encoding="utf-8")
    return import_deforum(path)


def test_prompts_strength_and_zoom_become_a_preset(tmp_path: Path) -> None:
    imported = made(tmp_path)
    (tmp_path / "p.toml").write_text(imported.toml, encoding="utf-8")
    preset = load_preset(tmp_path / "p.toml")
    (phase,) = preset.phase
    assert [getattr(prompt, "text", prompt) for prompt in phase.prompts] == [
        "a sea at night, film grain",
        "a red sky, film grain",
        "a tower, film grain",
    ]
    assert phase.prompts[0].negative == "people"
    assert preset.notes == ()
    assert phase.mode == "feedback"
    # 60 frames at 15 a second are 4 s: two bars at 120 beats a minute
    assert phase.switch.every == "2 bars"
    assert float(phase.strength.split()[0]) == pytest.approx(0.35)
    assert float(preset.camera.zoom) == pytest.approx(1.02**15, rel=1e-3)
    assert preset.feedback.rate == 7.5


def test_settings_without_a_counterpart_are_listed(tmp_path: Path) -> None:
    imported = made(tmp_path, translation_x="0: (rand())")
    listed = "\n".join(imported.without)
    for word in (
        "translation_x: the value rand()",
        "color_coherence",
        "noise_schedule",
        "seed_behavior",
        "bars",
    ):
        assert word in listed
    assert "zoom" not in listed
    assert "Video Input" in "\n".join(made(tmp_path, animation_mode="Video Input").without)
    for clause in imported.without:
        assert clause in imported.toml


def test_an_oscillation_follows_the_kick(tmp_path: Path) -> None:
    imported = made(
        tmp_path, strength_schedule="0: (0.7), 10: (0.3), 20: (0.7), 30: (0.7), 100: (0.7), 120: (0.2), 140: (0.7)"
    )
    strength = tomllib.loads(imported.toml)["phase"][0]["strength"]
    assert strength.startswith("0.3 + ")
    assert "decay(kick" in strength


def test_a_sine_becomes_an_oscillation_of_as_many_bars_and_a_ramp_follows_the_song(tmp_path: Path) -> None:
    camera = tomllib.loads(
        made(
            tmp_path,
            max_frames=600,
            angle="0: (2 + 3*sin(2*3.14159265*t/60))",
            translation_x="0: (5.12), 599: (10.24)",
            translation_y="0: (4*cos(2*3.14159265*t/45) + 4*cos(2*3.14159265*t/20))",
        ).toml
    )["camera"]
    # 60 frames at 15 a second are 4 s: two bars at 120 beats a minute; the sum of two sines is none
    assert "lfo(" in camera["rotate"]
    assert "song.progress" in camera["x"]
    assert "decay(kick" in camera["y"]
    bars = np.linspace(0, 20, 2001)
    curve = evaluate(camera["rotate"], Scope({}, bars, Fraction(24)))
    np.testing.assert_allclose(curve, 15 * (2 + 3 * np.sin(2 * np.pi * bars / 2)), atol=0.5)


def test_prompts_are_pinned_to_the_bars_nearest_to_their_frames(tmp_path: Path, beat_analysis) -> None:
    imported = made(tmp_path, prompts={"0": "a sea", "60": "a red sky", "120": "a tower", "121": "ice"})
    (tmp_path / "p.toml").write_text(imported.toml, encoding="utf-8")
    preset = load_preset(tmp_path / "p.toml")
    # at 120 beats a minute a bar lasts 30 frames
    assert [(pin.at, pin.prompt.split(",")[0], pin.hold) for pin in preset.pin] == [
        ("bar 1", "a sea", "2 bars"),
        ("bar 3", "a red sky", "2 bars"),
        ("bar 5", "ice", "1024 bars"),
    ]
    assert "1 of the prompts" in "\n".join(imported.without)
    timeline = build_timeline(beat_analysis, preset, samples=16 * 44_100, fps=Fraction(24), seed=1)
    texts = [timeline.prompts[number] for number in timeline.columns["prompt_to"]]
    assert texts[24].startswith("a sea")
    assert texts[6 * 24].startswith("a red sky")
    assert all(text.startswith("ice") for text in texts[8 * 24 + 1 :])


def test_exported_settings_can_be_imported(tmp_path: Path, beat_timeline) -> None:
    from reactive.exchange.formats import export_timeline
    from reactive.exchange.moments import prompt_runs

    export_timeline(beat_timeline, tmp_path / "t.txt", kind="deforum")
    preset = tomllib.loads(import_deforum(tmp_path / "t.txt").toml)
    assert preset["phase"][0]["prompts"] == [run.text for run in prompt_runs(beat_timeline)]


def preset_of(tmp_path: Path, text: str | bytes, name: str = "s.txt") -> dict[str, Any]:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return tomllib.loads(import_deforum(path).toml)


def words_of(preset: dict[str, Any]) -> list[str]:
    return [prompt if isinstance(prompt, str) else prompt["text"] for prompt in preset["phase"][0]["prompts"]]


DEEP = {
    "animation_mode": "3D",
    "zoom": "0: (1.04)",
    "translation_z": "0: (10)",
    "translation_x": "0: (0)",
    "rotation_3d_z": "0: (0.3)",
    "rotation_3d_y": "0: (0.1)",
    "angle": "0: (5)",
}


def test_in_3d_translation_z_is_the_dolly_and_zoom_is_not_used(tmp_path: Path) -> None:
    imported = made(tmp_path, **DEEP)
    camera = tomllib.loads(imported.toml)["camera"]
    # one unit is 1/200 of a depth of about 2
    assert float(camera["zoom"]) == pytest.approx((1 / (1 - 10 / 400)) ** 15, rel=1e-3)
    assert float(camera["rotate"]) == pytest.approx(4.5)
    assert float(camera["turn"]) == pytest.approx(1.5)
    assert "zoom, angle unused" in imported.without[0]
    flat = tomllib.loads(made(tmp_path, **(DEEP | {"animation_mode": "2D"})).toml)["camera"]
    assert float(flat["zoom"]) == pytest.approx(1.04**15, rel=1e-3)
    assert float(flat["rotate"]) == 75
    assert "turn" not in flat


def test_a_shift_in_3d_follows_the_projection(tmp_path: Path) -> None:
    moves = {"animation_mode": "3D", "translation_x": "0: (8)", "translation_y": "0: (4)", "W": 1024, "H": 512}
    wide = tomllib.loads(made(tmp_path, **moves, fov_schedule="0: (90)").toml)["camera"]
    # at 90 degrees the picture is as wide as twice its distance: 8 units are 8 / 200 of depth 2, so 1 % of the width
    assert float(wide["x"]) == pytest.approx(0.01 * 15)
    assert float(wide["y"]) == pytest.approx(0.01 * 15)
    narrow = tomllib.loads(made(tmp_path, **moves).toml)["camera"]
    assert float(narrow["x"]) > float(wide["x"])


def test_3d_without_translation_z_is_still_and_negative_values_shrink(tmp_path: Path) -> None:
    assert tomllib.loads(made(tmp_path, animation_mode="3D").toml)["camera"]["zoom"] == "1"
    back = made(tmp_path, animation_mode="3D", translation_z="0: (-10)")
    assert float(tomllib.loads(back.toml)["camera"]["zoom"]) < 1
    assert float(tomllib.loads(made(tmp_path, animation_mode="3D", translation_z="0: (1e9)").toml)["camera"]["zoom"])


def test_modes_without_motion_are_reported_and_use_no_feedback(tmp_path: Path) -> None:
    imported = made(tmp_path, animation_mode="Interpolation")
    preset = tomllib.loads(imported.toml)
    assert preset["camera"]["zoom"] == "1"
    assert preset["phase"][0]["mode"] == "walk"
    assert "does not move the picture" in imported.without[0]


OLD = {
    "prompts": [],
    "animation_prompts": {"0": "a lake", "40": "a tower"},
    "width": 512,
    "height": 768,
    "animation_mode": "2D",
    "max_frames": 120,
    "diffusion_cadence": "3",
    "translation_x": "0:(8)",
    "zoom": "0:(1.04)",
}


def test_settings_of_2022_are_read(tmp_path: Path) -> None:
    preset = preset_of(tmp_path, json.dumps(OLD))
    assert words_of(preset) == ["a lake", "a tower"]
    assert float(preset["camera"]["x"]) == pytest.approx(15 * 8 / 512, rel=1e-3)
    assert preset["feedback"]["rate"] == 5
    batch = OLD | {"prompts": {"a red tower": "00001", "a lake at dawn": "00000"}}
    del batch["animation_prompts"]
    assert words_of(preset_of(tmp_path, json.dumps(batch))) == ["a lake at dawn", "a red tower"]
    listed = OLD | {"prompts": ["one", "two"], "animation_prompts": None}
    assert words_of(preset_of(tmp_path, json.dumps(listed))) == ["one", "two"]
    inside = {"deforum_settings": [OLD], "options_overrides": {}}
    assert words_of(preset_of(tmp_path, json.dumps(inside))) == ["a lake", "a tower"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_encoding_is_decoded(tmp_path: Path, encoding: str) -> None:
    text = json.dumps(SETTINGS | {"prompts": {"0": "a fox 🦊 in Žižkov"}}, ensure_ascii=False)
    assert words_of(preset_of(tmp_path, text.encode(encoding))) == ["a fox 🦊 in Žižkov, film grain"]


def test_windows_code_pages_are_guessed_and_reported(tmp_path: Path) -> None:
    text = json.dumps(SETTINGS | {"prompts": {"0": "a café “at night”"}}, ensure_ascii=False)
    (tmp_path / "s.txt").write_bytes(text.encode("cp1252"))
    imported = import_deforum(tmp_path / "s.txt")
    assert words_of(tomllib.loads(imported.toml)) == ["a café “at night”, film grain"]
    assert "not UTF-8" in imported.without[0]


def test_letters_of_other_scripts_are_guessed(tmp_path: Path) -> None:
    for page, words in (("cp932", "夜に駆ける、夏の海"), ("cp1251", "белый снег летит над городом")):
        text = json.dumps(SETTINGS | {"prompts": {"0": words}}, ensure_ascii=False)
        (tmp_path / "s.txt").write_bytes(text.encode(page))
        assert words_of(tomllib.loads(import_deforum(tmp_path / "s.txt").toml))[0].startswith(words)


def test_an_invalid_file_is_reported_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text('{\n "prompts": {\n  "0": "a sea"\n ,\n }\n}')
    with pytest.raises(PresetError, match="line 5, column"):
        import_deforum(tmp_path / "s.txt")


def test_max_f_and_formulas_are_computed(tmp_path: Path) -> None:
    preset = tomllib.loads(
        made(
            tmp_path,
            max_frames=300,
            zoom='0:(1.0), "max_f/2":(1.05), "max_f-1":(1.0)',
            angle="0: (2*(t>=0))",
            translation_x="0: (5.12*cos(6.28*t/30)**9)",
            prompts={"0": "a lake", "150": "ice", "max_f/4": "a tower", '"max_f-20"': "a field"},
        ).toml
    )
    assert [words.split(",")[0] for words in words_of(preset)] == ["a lake", "a tower", "ice", "a field"]
    rest, _, swing = preset["camera"]["zoom"].split()[:3]
    assert float(rest) == pytest.approx(1.025**15, rel=0.01)
    assert float(rest) + float(swing) == pytest.approx(1.05**15, rel=0.01)
    assert float(preset["camera"]["rotate"]) == 30
    assert "decay(kick" in preset["camera"]["x"]


def test_prompt_weights_are_removed_and_loras_are_named(tmp_path: Path) -> None:
    prompts = {
        "0": "a `where(cos(t)>0, 1, 0)`:lake",
        "30": "(ice:1.3) <lora:cold:0.7>",
        "60": "((sea)), [mist] and [dawn:night:0.5]",
        "90": "a sea:0.6 people:-0.4",
        "120": "a \\(real\\) lake, 16:9 --neg (cars:1.2)",
    }
    imported = made(tmp_path, prompts=prompts, animation_prompts_positive="")
    phase = tomllib.loads(imported.toml)["phase"][0]
    assert phase["prompts"] == [
        "a lake",
        "ice",
        "sea, mist and dawn, night",
        {"text": "a sea", "negative": "people"},
        {"text": "a (real) lake, 16:9", "negative": "cars"},
    ]
    assert "<lora:cold:0.7>: give it with --lora cold.safetensors:0.7" in imported.without


def parseq(**changes: Any) -> dict[str, Any]:
    rows = [
        {
            "frame": n,
            "zoom": 1.02**n,
            "zoom_delta": 1.02,
            "angle": n,
            "angle_delta": 1.0,
            "strength": 0.7,
            "seed": 5,
            "deforum_prompt": "a lantern --neg people" if n < 60 else "a lighthouse",
        }
        for n in range(120)
    ]
    listed = [
        {"positive": "a lighthouse", "negative": "", "from": 60, "to": 119},
        {"positive": "a lantern ${bpm}", "negative": "people", "from": 0, "to": 59},
    ]
    return {
        "options": {"output_fps": 30},
        "prompts": {"format": "v2", "enabled": True, "promptList": listed},
        "managedFields": ["zoom", "angle", "strength"],
        "keyframes": [{"frame": 0, "zoom": 1}],
        "rendered_frames": rows,
    } | changes


def test_parseq_drives_its_settings(tmp_path: Path) -> None:
    held = SETTINGS | {"fps": 30, "animation_prompts_positive": "", "zoom": "0: (9)", "translation_y": "0: (5.12)"}
    for manifest in (json.dumps(parseq()), parseq(), json.dumps(parseq(prompts=None))):
        preset = preset_of(tmp_path, json.dumps(held | {"parseq_manifest": manifest}))
        assert words_of(preset) == ["a lantern", "a lighthouse"]
        assert preset["phase"][0]["prompts"][0]["negative"] == "people"
        assert float(preset["camera"]["zoom"]) == pytest.approx(1.02**30, rel=1e-3)
        assert float(preset["camera"]["rotate"]) == 30
        # settings that Parseq does not control keep Deforum's values
        assert float(preset["camera"]["y"]) == pytest.approx(0.3)
    own = preset_of(tmp_path, json.dumps(held | {"parseq_manifest": parseq(prompts={"enabled": False})}))
    assert words_of(own) == ["a sea at night", "a red sky", "a tower"]
    absolute = held | {"parseq_manifest": parseq(), "parseq_use_deltas": False}
    assert "song.progress" in preset_of(tmp_path, json.dumps(absolute))["camera"]["rotate"]


def test_a_parseq_document_is_read_alone_and_without_rendered_frames(tmp_path: Path) -> None:
    preset = preset_of(tmp_path, json.dumps(parseq()), "p.json")
    assert words_of(preset) == ["a lantern", "a lighthouse"]
    assert float(preset["camera"]["zoom"]) == pytest.approx(1.02**30, rel=1e-3)
    keys = [{"frame": 0, "angle": 0, "strength": 0.5}, {"frame": 119, "angle": 119, "strength": 0.5}]
    (tmp_path / "k.json").write_text(json.dumps(parseq(rendered_frames=[], keyframes=keys)))
    imported = import_deforum(tmp_path / "k.json")
    assert float(tomllib.loads(imported.toml)["camera"]["rotate"]) == 30
    assert "keys" in imported.without[0]


def test_a_parseq_url_is_reported_and_a_file_name_is_read(tmp_path: Path) -> None:
    imported = made(tmp_path, parseq_manifest="https://example.invalid/p.json")
    assert imported.without[0].startswith("Parseq at https://example.invalid/p.json, which controls this file")
    assert "not beside it" in made(tmp_path, parseq_manifest="C:\\me\\p.json").without[0]
    (tmp_path / "p.json").write_text(json.dumps(parseq()))
    for name in ("p.json", "C:\\me\\p.json", "/etc/p.json"):
        assert "a lighthouse" in made(tmp_path, parseq_manifest=name).toml
    with pytest.raises(PresetError, match="Parseq"):
        made(tmp_path, parseq_manifest={"a": 1})


def test_brackets_of_an_exported_prompt_are_restored(tmp_path: Path, beat_timeline) -> None:
    from dataclasses import replace

    from reactive.exchange.formats import export_timeline
    from reactive.exchange.moments import prompt_runs

    texts = tuple(f"a (real) [sea] {number}" for number in range(len(beat_timeline.prompts)))
    timeline = replace(beat_timeline, prompts=texts)
    for kind, name in (("deforum", "t.txt"), ("parseq", "t.parseq.json")):
        export_timeline(timeline, tmp_path / name, kind=kind)
        preset = tomllib.loads(import_deforum(tmp_path / name).toml)
        assert words_of(preset) == [run.text for run in prompt_runs(timeline)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "{}",
        '{"prompts": []}',
        '{"prompts": {}}',
        '{"prompts": {"0": "  "}}',
        "[" * 100_000,
        "\x00",
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.txt").write_text(text)
    done = CliRunner().invoke(
        main, ["preset", "import-deforum", str(tmp_path / "s.txt"), "-o", str(tmp_path / "p.toml")]
    )
    assert done.exit_code == 1
    assert len(done.output.strip().splitlines()) == 1
    assert not (tmp_path / "p.toml").exists()


def test_the_command_writes_and_lists(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text(json.dumps(SETTINGS))
    arguments = ["preset", "import-deforum", str(tmp_path / "s.txt"), "-o", str(tmp_path / "p.toml"), "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "color_coherence" in " ".join(json.loads(done.stdout)["without_counterpart"])
    assert load_preset(tmp_path / "p.toml").title == "s"
    assert CliRunner().invoke(main, arguments).exit_code == 1


@pytest.mark.parametrize(
    ("zoom", "fps", "expected"),
    [
        (1.02, 15, 1.02**15),
        (20, 240, 20.0),
        (1e5, 240, 20.0),
        (0.5, 240, 0.05),
        (0, 24, 0.05),
        (-3, 24, 0.05),
        (1, 240, 1.0),
    ],
)
def test_a_zoom_a_frame_becomes_one_a_second_within_the_cameras_limits(
    tmp_path: Path, zoom: float, fps: float, expected: float
) -> None:
    preset = tomllib.loads(made(tmp_path, zoom=f"0: ({zoom})", fps=fps).toml)
    assert float(preset["camera"]["zoom"]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["zoom", "angle", "translation_x", "strength_schedule", "fps", "max_frames", "W"])
@pytest.mark.parametrize("number", [10**400, -(10**400), 1e308, -1e308, 5e-324])
def test_extreme_numbers_are_handled(tmp_path: Path, name: str, number: float) -> None:
    # each value is tried with all others at their maximum
    others = {"fps": 240, "W": 16, "H": 16, "zoom": "0: (20)", "angle": "0: (999999)", "translation_y": "0: (999999)"}
    assert tomllib.loads(made(tmp_path, **(others | {name: number})).toml)["version"] == 2


value = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.just("0: (1), 5: (nan)")
)


@settings(max_examples=scaled(150))
@given(
    st.dictionaries(
        st.sampled_from(sorted(SETTINGS)),
        st.one_of(value, st.dictionaries(st.text(max_size=5), value, max_size=4)),
        max_size=8,
    )
)
def test_odd_settings_give_a_preset_or_one_clear_error(tmp_path_factory: pytest.TempPathFactory, changes: dict) -> None:
    folder = tmp_path_factory.getbasetemp() / "odd"
    folder.mkdir(exist_ok=True)
    with suppress(PresetError):
        # any other exception fails the test
        assert tomllib.loads(made(folder, **changes).toml)["version"] == 2
