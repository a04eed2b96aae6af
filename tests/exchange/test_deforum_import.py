"""Deforum settings to presets."""

from __future__ import annotations

import json
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from reactive.cli import main
from reactive.errors import PresetError
from reactive.exchange.deforum_import import import_deforum
from reactive.preset.schema import load_preset
from tests.examples import scaled

SETTINGS: dict[str, Any] = {
    "W": 512, "H": 512, "fps": 15, "max_frames": 240, "animation_mode": "2D", "diffusion_cadence": 2,
    "prompts": {"0": "a sea at night --neg people", "60": "a red sky", "120": "a tower"},
    "animation_prompts_positive": "film grain",
    "zoom": "0: (1.02)", "angle": "0: (0), 100: (0), 101: (2), 102: (0)", "translation_x": "0: (10*sin(t))",
    "strength_schedule": "0: (0.65), 59: (0.65), 60: (0.2), 61: (0.65)",
    "seed_behavior": "iter", "color_coherence": "LAB", "noise_schedule": "0: (0.02)",
}  # fmt: skip


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
        "a sea at night, film grain", "a red sky, film grain", "a tower, film grain",
    ]  # fmt: skip
    assert phase.prompts[0].negative == "people"
    assert preset.notes == ()
    assert phase.mode == "feedback"
    # 60 frames at 15 a second are 4 s: two bars at 120 beats a minute
    assert phase.switch.every == "2 bars"
    assert float(phase.strength.split()[0]) == pytest.approx(0.35)
    assert float(preset.camera.zoom) == pytest.approx(1.02**15, rel=1e-3)
    assert preset.feedback.rate == 7.5


def test_what_has_no_counterpart_is_listed(tmp_path: Path) -> None:
    imported = made(tmp_path)
    listed = "\n".join(imported.without)
    for word in (
        "translation_x: formulas",
        "color_coherence",
        "noise_schedule",
        "seed_behavior",
        "bars",
    ):
        assert word in listed
    assert "zoom" not in listed
    assert "animation_mode" in "\n".join(made(tmp_path, animation_mode="3D").without)
    for clause in imported.without:
        assert clause in imported.toml


def test_a_swing_follows_the_kick(tmp_path: Path) -> None:
    imported = made(
        tmp_path, strength_schedule="0: (0.7), 10: (0.3), 20: (0.7), 30: (0.7), 100: (0.7), 120: (0.2), 140: (0.7)"
    )
    strength = tomllib.loads(imported.toml)["phase"][0]["strength"]
    assert strength.startswith("0.3 + ")
    assert "decay(kick" in strength


def test_what_reactive_exports_comes_back(tmp_path: Path, beat_timeline) -> None:
    from reactive.exchange.formats import export_timeline
    from reactive.exchange.moments import prompt_runs

    export_timeline(beat_timeline, tmp_path / "t.txt", kind="deforum")
    preset = tomllib.loads(import_deforum(tmp_path / "t.txt").toml)
    assert preset["phase"][0]["prompts"] == [run.text for run in prompt_runs(beat_timeline)]


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
def test_what_is_no_settings_file_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
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
    assert "color_coherence" in json.loads(done.stdout)["without_counterpart"]
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
def test_a_zoom_a_frame_becomes_one_a_second_within_what_a_camera_does(
    tmp_path: Path, zoom: float, fps: float, expected: float
) -> None:
    preset = tomllib.loads(made(tmp_path, zoom=f"0: ({zoom})", fps=fps).toml)
    assert float(preset["camera"]["zoom"]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["zoom", "angle", "translation_x", "strength_schedule", "fps", "max_frames", "W"])
@pytest.mark.parametrize("number", [10**400, -(10**400), 1e308, -1e308, 5e-324])
def test_numbers_beyond_all_bounds_are_no_accident(tmp_path: Path, name: str, number: float) -> None:
    # whatever is given for one, all others at their largest
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
        # anything else that is raised fails the test
        assert tomllib.loads(made(folder, **changes).toml)["version"] == 2
