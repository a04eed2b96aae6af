"""Settings: nested pydantic models, stored under flat names, including those of older versions."""

from __future__ import annotations

import json
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive.audio.corrections import Corrections
from reactive.audio.hear import HearingOptions
from reactive.errors import GridError, OutputError, SettingsError, TimelineError
from reactive.live.material import PreviewOptions
from reactive.render.jobs import stored_settings
from reactive.render.request import RenderRequest
from reactive.render.settings import ModelSpec, Output, Settings
from reactive.render.store.cache_keys import digest

pytestmark = pytest.mark.fast

CHOICES: dict[str, Any] = {
    "preset": "nocturne",
    "fps": Fraction(30000, 1001),
    "size": (1280, 720),
    "steps": 2,
    "guidance": 1.5,
    "seed": 7,
    "start": 1.5,
    "duration": 4.0,
    "macros": {"depth": 0.25},
    "palette": ("#200010", "#ffffff"),
    "lanes": 3,
    "codec": "prores",
    "also": ("9:16",),
    "negative": "text",
    "title": "T",
    "upscale": 2,
    "loras": ("a.safetensors:0.5",),
    "hearing": HearingOptions(corrections=Corrections(bpm=120.0, beats=(0.5, 1.0), downbeats=())),
}
# as stored by version 0.1.0 in a job's manifest for these settings, when settings were flat
OLD_MANIFEST = """{"preset": "nocturne", "fps": "30000/1001", "size": [1280, 720], "imagine_size": null, "model": "ember",
"loras": ["a.safetensors:0.5"], "vae": null, "guidance": 1.5, "negative": "text", "dtype": "auto", "compile": false, "steps": 2,
"sampler": null, "spacing": null, "prediction": null, "seed": 7, "start": 1.5, "duration": 4.0, "photos": [], "videos": [],
"background": "black", "imagine_rate": 0.0, "upscale": 2, "upscaler": "lanczos", "timeline": null, "take": null,
"macros": {"depth": 0.25}, "lyrics": null, "telling": false, "shots": null, "title": "T", "logo": null, "show_lyrics": false,
"palette": ["#200010", "#ffffff"], "palette_strength": 1.0, "saturation": 1.0, "contrast": 1.0, "temperature": 0.0, "tint": 0.0,
"lut": null, "device": "auto", "batch": 0, "slices": 0, "lanes": 3, "threads": 0, "codec": "prores", "speed": "veryfast",
"crf": 18, "overwrite": false, "wishes": {"corrections": {"bpm": 120.0, "offset_ms": null, "half": false, "double": false,
"downbeat": null, "meter": null, "beats": [0.5, 1.0], "downbeats": []}, "forget": false, "stems": [], "midi": null,
"markers": null, "settled": false, "save": false}, "flash_safe": false, "recipe": true, "also": ["9:16"], "segment": 0,
"pace": 0.0}"""


def test_manifests_of_older_versions_give_the_same_settings() -> None:
    old = {"settings": json.loads(OLD_MANIFEST)}
    assert Settings.from_data(stored_settings(old)) == Settings.of(**CHOICES)
    # a name of a later version is ignored, and a lane count that was never set stays unset
    old["settings"] |= {"of_tomorrow": 1}
    del old["settings"]["lanes"]
    assert Settings.from_data(stored_settings(old)) == Settings.of(**CHOICES | {"lanes": -1})


def test_requests_have_the_hashes_of_older_versions() -> None:
    # which identify a job or a finished clip
    for settings, known in (
        (Settings(), "36d90278e29299d3582645fb8f84ff3d3c41a966"),
        (Settings.of(**CHOICES), "a07463e7780156c779883505f0e08e46f015bd71"),
    ):
        assert digest(RenderRequest("s", settings, None, (), "m", {}).content) == known


def test_stored_settings_are_restored_with_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hearing = HearingOptions(stems=(("voice", Path("voice.wav")),), midi=Path("notes.mid"))
    settings = Settings.of(**CHOICES | {"photos": [Path("a.jpg")], "job": Path("job"), "hearing": hearing})
    data = json.loads(json.dumps(settings.to_data()))
    assert data["photos"] == [str(tmp_path / "a.jpg")]
    assert data["hearing"]["stems"] == [["voice", str(tmp_path / "voice.wav")]]
    again = Settings.from_data(data)
    assert again.to_data() == data
    assert again.sources.photos == (tmp_path / "a.jpg",)
    assert again.changed(photos=settings.sources.photos, job=Path("job"), hearing=hearing) == settings
    assert pickle.loads(pickle.dumps(settings)) == settings


@given(
    seed=st.integers(0, 1 << 63),
    crf=st.integers(0, 51),
    start=st.floats(0, 1e6),
    macros=st.dictionaries(st.text(max_size=5), st.floats(0, 1), max_size=3),
    size=st.none() | st.tuples(*[st.integers(8, 4096).map(lambda half: 2 * half)] * 2),
)
def test_any_settings_are_restored(**choices: Any) -> None:
    settings = Settings.of(**choices)
    assert Settings.from_data(json.loads(json.dumps(settings.to_data()))) == settings
    assert settings.changed(seed=(choices["seed"] + 1) % 9) != settings
    assert {name: settings.choices()[name] for name in choices} == choices


def test_every_setting_has_one_flat_name() -> None:
    names = Settings.names()
    assert len(names) == len(set(names)) == len(Settings().to_data())
    assert {"preset", "model", "steps", "photos", "palette", "title", "codec", "size", "batch", "hearing"} <= set(names)
    assert set(PreviewOptions.names()) - set(names) == {"draft", "no_shots"}
    assert Settings.of(model="a", steps=3).model == ModelSpec(name="a", steps=3)
    assert Settings(output=Output(size=(64, 48))) == Settings.of(size=(64, 48))


@pytest.mark.parametrize(
    ("choices", "place"),
    [
        ({"duration": -1.0}, "duration"),
        ({"model": 3}, "model"),
        ({"hearing": {"tempo": 3}}, "hearing"),
        ({"steps": 0}, "steps"),
        ({"stepps": 1}, "stepps"),
        ({"sampler": "x"}, "sampler"),
        ({"duration": float("nan")}, "duration"),
        ({"palette": ["red"]}, "palette"),
        ({"upscale": 3}, "upscale"),
        ({"photos": [3]}, "photos"),
    ],
)
def test_invalid_values_are_refused_and_named(choices: dict[str, Any], place: str) -> None:
    with pytest.raises(SettingsError) as problem:
        Settings.of(**choices)
    assert problem.value.where == place
    assert "\n" not in str(problem.value)


def test_stored_values_are_not_converted() -> None:
    for name, value in (("crf", "18"), ("recipe", 1), ("seed", 1.5), ("title", 3), ("photos", [1])):
        with pytest.raises(SettingsError):
            Settings.from_data({name: value})


def test_rates_sizes_and_grids_have_specific_errors() -> None:
    with pytest.raises(TimelineError, match="frame"):
        Settings.of(fps="fast")
    with pytest.raises(OutputError, match="16 to 8192"):
        Settings.of(size=(8, 8))
    with pytest.raises(GridError, match="tempo"):
        Settings.from_data({"hearing": {"corrections": {"bpm": 1.0}}})
