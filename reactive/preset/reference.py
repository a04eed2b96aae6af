"""The language's reference, generated from the code: a JSON Schema for editors, and the tables of `presets/README.md`."""

from __future__ import annotations

import json
import re
from typing import Any

from reactive.errors import PresetError
from reactive.preset.expression import CONSTANTS, usage
from reactive.preset.library import shipped_folder
from reactive.preset.schema import Preset
from reactive.preset.vocabulary import FUNCTIONS, OWN_SIGNALS, SIGNALS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# the tables in reading order, with their headings and the prefixes of their keys
TABLES = {
    "Preset": ("The preset", ""),
    "Phase": ("`[[phase]]`", "phase."),
    "PromptEntry": ("A prompt as a table", "phase.prompts."),
    "Switch": ("`[phase.switch]`", "phase.switch."),
    "Source": ("`[phase.source]`", "phase.source."),
    "Ground": ("`[ground]` and `[phase.ground]`", "ground."),
    "StylePicture": ("`[[style_picture]]` and `[[phase.style_picture]]`", "style_picture."),
    "ControlPicture": ("`[[control]]` and `[[phase.control]]`", "control."),
    "PresetLora": ("`[[lora]]` and `[[phase.lora]]`", "lora."),
    "Lens": ("`[lens]` and `[phase.lens]`", "lens."),
    "Camera": ("`[camera]` and `[phase.camera]`", "camera."),
    "Colour": ("`[colour]` and `[phase.colour]`", "colour."),
    "Film": ("`[film]` and `[phase.film]`", "film."),
    "Feedback": ("`[feedback]`", "feedback."),
    "Macro": ("`[[macro]]`", "macro."),
    "Knobs": ("`[knobs]`", "knobs."),
    "Pin": ("`[[pin]]`", "pin."),
    "Lyrics": ("`[lyrics]`", "lyrics."),
    "Overlay": ("`[overlay]`", "overlay."),
    "Title": ("`[[overlay.title]]`", "overlay.title."),
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a preset file, for editors that complete and check TOML."""
    return {"$schema": DIALECT, **Preset.model_json_schema(), "title": "A preset of reactive"}


def language_page(word: str | None = None) -> str:
    """Return the page of the language, or of it the headings, rows and paragraphs that mention a word.

    Raises
    ------
    PresetError
        If the page is missing, or nothing on it mentions the word.
    """
    file = shipped_folder() / "README.md"
    try:
        page = file.read_text(encoding="utf-8")
    except OSError as problem:
        remedy = "install reactive-clip again"
        raise PresetError(f"can't be read ({problem.strerror})", where=str(file), remedy=remedy) from None
    if word is None:
        return page
    found: list[str] = []
    heading = ""
    for block in re.split(r"\n\s*\n", page):
        lines = block.splitlines()
        heading = next((line for line in lines if line.startswith("#")), heading)
        table = any(line.startswith("| ---") for line in lines)
        kept = [line for line in lines if word.lower() in line.lower()] if table else lines
        if word.lower() in block.lower():
            found += [] if heading in (*found, *kept) else [heading]
            found.append("\n".join(kept))
    if not found:
        remedy = "leave the word out to see all of it"
        raise PresetError(f'nothing mentions "{word}"', where="preset language", remedy=remedy)
    return "\n\n".join(found)


def reference() -> str:
    """Return every key, signal and function with its kind, default and meaning, as Markdown."""
    schema = json_schema()
    tables = {"Preset": schema} | schema["$defs"]
    order = [*TABLES, *(name for name in tables if name not in TABLES)]
    parts = []
    for name in order:
        heading, prefix = TABLES.get(name, (f"`{name}`", f"{name.lower()}."))
        rows = [_row(prefix + key, key, field, tables[name]) for key, field in tables[name]["properties"].items()]
        parts.append(_table(f"### {heading}", ("key", "value", "unless given", "meaning"), rows))
    signals = [[f"`{name}`", meaning] for name, meaning in (SIGNALS | OWN_SIGNALS).items()]
    parts.append(_table("### Signals", ("signal", "meaning"), signals))
    functions = [[f"`{usage(name)}`", _constants(name), function.meaning] for name, function in FUNCTIONS.items()]
    parts.append(_table("### Functions", ("function", "unless given", "meaning"), functions))
    return "\n".join(parts)


def _row(name: str, key: str, field: dict[str, Any], table: dict[str, Any]) -> list[str]:
    default = field.get("default")
    if key in table.get("required", []):
        given = "required"
    elif default is None:
        given = "as without a phase" if table.get("title") == "Phase" else ""
    elif default in ("", [], {}) or isinstance(default, dict):
        given = ""
    elif isinstance(default, list) and isinstance(default[0], dict):
        given = f"`{json.dumps([entry['text'] for entry in default])}`"
    else:
        given = f"`{json.dumps(default)}`"
    return [f"`{name}`", _kind(field), given, field.get("description", "")]


def _kind(field: dict[str, Any]) -> str:
    options = [option for option in field.get("anyOf", []) if option.get("type") != "null"]
    if field.get("title") == "Expression" or any(option.get("title") == "Expression" for option in options):
        return "expression"
    if {"string", "array"} <= {option.get("type") for option in options}:
        return "text or texts"
    if options:
        return _kind(options[0])
    if "$ref" in field:
        return "table"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type", "")
    if kind in ("number", "integer") and "maximum" in field:
        return f"{field['minimum']:g} to {field['maximum']:g}"
    if kind == "array" and "prefixItems" in field:
        return "two whole numbers"
    if kind == "array":
        return "tables" if "$ref" in field.get("items", {}) else "list"
    if "const" in field:
        return f"`{field['const']}`"
    if kind == "string" and "beats" in str(field.get("pattern")):
        return "length"
    return {"string": "text", "boolean": "`true`, `false`", "object": "table"}.get(kind, kind)


def _constants(name: str) -> str:
    function = FUNCTIONS[name]
    said = []
    for constant, default in zip(function.constants, function.defaults, strict=True):
        limits = CONSTANTS.get(constant)
        said.append(f"{constant} {default:g}" + (f" ({limits[0]:g} to {limits[1]:g})" if limits else ""))
    return ", ".join(said)


def _table(heading: str, columns: tuple[str, ...], rows: list[list[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in (columns, ["---"] * len(columns), *escaped)]
    return "\n".join([heading, "", *lines, ""])
