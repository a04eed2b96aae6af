"""The language beyond single keys: template variables, positions, macros, lyrics, old versions, and its reference."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from reactive.errors import PresetError
from reactive.preset.library import shipped_folder
from reactive.preset.lyrics import Line, load_lyrics, parse_lyrics
from reactive.preset.macros import macro_values, parse_macros
from reactive.preset.place import Place, parse_place
from reactive.preset.reference import json_schema, reference
from reactive.preset.schema import Preset, check_preset
from reactive.preset.template import Gap, escaped, fill, is_plain, parse_template, variety
from reactive.preset.vocabulary import FUNCTIONS, OWN, OWN_SIGNALS, SIGNALS
from training.write_reference import PAGE, page


def small(**more: Any) -> dict[str, Any]:
    return {"version": 2, "title": "Small", "phase": [{"name": "one", "prompts": ["a grey sea"]}], **more}


def test_templates_are_text_and_variables() -> None:
    assert parse_template("a {red|blue} {thing}") == ("a ", Gap("", ("red", "blue")), " ", Gap("thing"))
    assert parse_template("{{a}}") == ("{", "a", "}")
    assert fill("{a} sea, {b|c}", lambda number, gap: gap.name or gap.choices[number]) == "a sea, c"
    assert fill("a {|tall} tower", lambda number, gap: gap.choices[0]) == "a tower"
    assert variety("{a} {a} {x|y|x}", {"a": ["1", "2", "3"]}) == 18
    assert is_plain("no gap {{here}}")


@pytest.mark.parametrize("text", ["{", "a } b", "{Upper}", "{}", "{a{b}}"])
def test_broken_templates_are_refused(text: str) -> None:
    with pytest.raises(PresetError) as caught:
        parse_template(text)
    assert caught.value.remedy


@given(st.text(max_size=60))
def test_escaped_text_is_unchanged(text: str) -> None:
    assert is_plain(escaped(text))
    assert "".join(str(part) for part in parse_template(escaped(text))) == text


def test_positions_have_numbers() -> None:
    assert parse_place("drop 2", []) == Place("drop", 2)
    assert parse_place("last section", []) == Place("section", -1)
    assert parse_place("first loop", []) == Place("loop", 1)
    assert parse_place("bloom 3", ["bloom"]) == Place("bloom", 3)
    assert parse_place("part 2", ["part 2"]) == Place("part 2", 1)
    assert parse_place("start", []) == Place("start", 1)
    assert parse_place("chorus 2", ["bloom"]) == Place("part chorus", 2)
    assert parse_place("last verse", []) == Place("part verse", -1)
    assert parse_place("part guitar solo 2", []) == Place("part guitar solo", 2)
    assert parse_place("chorus", ["chorus"]) == Place("chorus", 1)
    for text, word in (("drup 1", "drop"), ("drop 0", "counts"), ("last drop 2", "place"), ("", "place")):
        with pytest.raises(PresetError, match=word):
            parse_place(text, ["bloom"])


def test_prompts_may_be_texts_or_tables() -> None:
    data = small(words={"stone": ["marble", "slate"]}, variables={"city": "Turin"})
    data["phase"][0]["prompts"] = ["{stone} in {city}", {"text": "a red door", "weight": 2, "negative": "blue"}]
    preset = check_preset(data, where="x")
    assert [entry.weight for entry in preset.phase[0].prompts] == [1, 2]
    assert preset.variables["city"] == ["Turin"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"words": {"stone": ["a"]}, "pin": [{"at": "drop 1", "prompt": "{ston}"}]},
            ["pin.1.prompt", "Did you mean stone"],
        ),
        ({"pin": [{"at": "dorp 1", "prompt": "x"}]}, ["pin.1.at", "Did you mean drop"]),
        ({"pin": [{"at": "drop 1", "prompt": "x", "hold": "2 frames"}]}, ["hold", "2 bars"]),
        ({"pin": [{"at": "drop 1", "promt": "x"}]}, ["unknown key pin.1.promt", "prompt"]),
        ({"walk": "macro.strom", "macro": [{"name": "storm"}]}, ["walk", "Did you mean macro.storm"]),
        ({"walk": "macro.storm"}, ["walk", "[[macro]]"]),
        ({"macro": [{"name": "storm", "default": 2}]}, ["macro.1.default"]),
        ({"macro": [{"name": "Storm"}]}, ["macro.1.name"]),
        ({"macro": [{"name": "a"}, {"name": "a"}]}, ["macros have the same name"]),
        ({"words": {"a": "x"}, "variables": {"a": "y"}}, ["among variables and words"]),
        ({"words": {"a": ["{b}"]}}, ["braces"]),
        ({"words": {"a": []}}, ["words.a"]),
        ({"lyrics": {"prompts": ["{lin}"]}}, ["lyrics.prompts.1", "line"]),
        ({"lyrics": {"file": "../x.lrc"}}, ["plain file name"]),
        ({"lyrics": {"file": "C:\\x.lrc"}}, ["plain file name"]),
    ],
)
def test_inconsistent_presets_are_refused(more: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(PresetError) as caught:
        check_preset(small(**more), where="my.toml")
    for word in words:
        assert word in str(caught.value)


def test_prompts_with_mistakes_are_named() -> None:
    for prompt, word in (
        ("{stone}", "no words"),
        ({"text": "x", "wieght": 2}, "weight"),
        ({"weight": 1}, "text"),
        (7, "7"),
    ):
        data = small()
        data["phase"][0]["prompts"] = [prompt]
        with pytest.raises(PresetError, match=word):
            check_preset(data, where="x")
    data = small()
    data["phase"][0]["switch"] = {"how": "slurp"}
    with pytest.raises(PresetError, match="Did you mean slerp"):
        check_preset(data, where="x")


def test_version_1_is_read_as_before_with_a_note() -> None:
    old = {
        "version": 1,
        "title": "Old",
        "phase": [
            {"name": "a", "prompts": ["a {brace}"], "switch": {"how": "hit"}},
            {"name": "b", "prompts": ["b"]},
            {"name": "c", "prompts": ["c"], "switch": {"over": "2 bars"}},
        ],
    }
    preset = check_preset(old, where="old")
    assert [(p.switch.how, p.switch.over) for p in preset.phase] == [
        ("cut", "1 bar"),
        ("fade", "1 bar"),
        ("fade", "2 bars"),
    ]
    assert preset.phase[0].prompts[0].text == "a {{brace}}"
    assert len(preset.notes) == 2
    assert old["version"] == 1
    assert check_preset(small(), where="new").notes == ()


def test_macros_have_their_defaults_unless_changed() -> None:
    preset = check_preset(small(macro=[{"name": "storm", "default": 0.3}, {"name": "fog"}]), where="x")
    common = dict.fromkeys(("intensity", "speed", "colour", "photographs"), 0.5)
    assert macro_values(preset) == {"storm": 0.3, "fog": 0.5} | common
    assert macro_values(preset, parse_macros(["storm=1"])) == {"storm": 1.0, "fog": 0.5} | common
    for turned in (["strom=1"], ["storm=2"], ["storm=nan"], ["storm"], ["storm=wild"]):
        with pytest.raises(PresetError, match="--macro"):
            macro_values(preset, parse_macros(turned))


def test_lrc_lines_have_times() -> None:
    text = (
        "[ti:Song]\n[offset:+500]\n[00:02.50]first\n[00:10.00][00:20.5]chorus <00:20.9>word\n[00:12.00]\n[01:00]\x1bend"
    )
    assert parse_lyrics(text) == (
        Line(2.0, 9.5, "first"),
        Line(9.5, 11.5, "chorus word"),
        Line(20.0, 59.5, "chorus word"),
        Line(59.5, float("inf"), "end"),
    )


def test_srt_blocks_have_times() -> None:
    text = "1\n00:00:01,500 --> 00:00:03,000\n<i>two</i>\nrows\n\n2\n00:01:00.000 --> 00:01:02.000\n{\\an8}up\n"
    assert parse_lyrics(text) == (Line(1.5, 3.0, "two rows"), Line(60.0, 62.0, "up"))


@given(st.text(max_size=300))
def test_any_text_gives_lines_or_none(text: str) -> None:
    for line in parse_lyrics(text):
        assert line.end > line.start >= 0
        assert line.text.isprintable()


def test_lyrics_files_are_limited(tmp_path: Path) -> None:
    (tmp_path / "none.lrc").write_text("no times here")
    (tmp_path / "huge.lrc").write_bytes(b"[00:01.00]x\n" * 100_000)
    for name, word in (("none.lrc", "no line"), ("huge.lrc", "larger"), ("missing.lrc", "can't be read")):
        with pytest.raises(PresetError, match=word):
            load_lyrics(tmp_path / name)


def test_the_reference_page_matches_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m training.write_reference"
    for name in [*SIGNALS, *OWN_SIGNALS, *FUNCTIONS]:
        assert f"| `{name}" in reference(), name
    for name in OWN:
        assert any(own.startswith(name) for own in OWN_SIGNALS), name
    assert (shipped_folder() / "README.md").is_file()


def tables(model: type[BaseModel], way: str = "") -> Iterator[tuple[str, str]]:
    """Yield every table of a preset with its path, and each of its keys."""
    for key, field in model.model_fields.items():
        yield way, key
        outer = [field.annotation, *get_args(field.annotation)]
        for kind in [*outer, *(inner for one in outer for inner in get_args(one))]:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from tables(kind, f"{way}{key}.")


def test_every_key_of_every_table_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = set(tables(Preset))
    assert {("phase.source.", "every"), ("overlay.title.", "text"), ("phase.prompts.", "weight")} <= found
    for way, key in found:
        # lens, camera, ground and colours have one table for preset and phases; a line's templates are a pool like a phase's
        for table in ("lens.", "camera.", "ground.", "colour.", "film.", "style_picture.", "control.", "lora."):
            way = table if way == f"phase.{table}" else way
        way = "phase.prompts." if way == "lyrics.prompts." else way
        assert f"\n| `{way}{key}` |" in text, f"{way}{key}"


def test_every_key_is_described() -> None:
    schema = json_schema()
    for name, table in ({"Preset": schema} | schema["$defs"]).items():
        for key, field in table["properties"].items():
            assert field.get("description"), f"{name}.{key}"
    assert len(json.dumps(schema)) > 5000


def test_the_examples_in_the_documentation_are_valid() -> None:
    found = {}
    for file in (PAGE, *(PAGE.parent.parent / "docs" / "guide").glob("*.md")):
        for text in re.findall(r"```toml\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL):
            # the guide also shows a MIDI mapping file; presets state their version
            if "version" in (data := tomllib.loads(text)):
                found[file] = check_preset(data, where=file.name)
    assert len(found) == 3
    preset = found[PAGE]
    assert preset.phase[1].order == "ladder"
    assert preset.pin[0].at == "drop 1"
