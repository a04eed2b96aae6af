"""Presets in words, for the terminal: a table of many, a page about one."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping

from reactive.preset.schema import Phase, Preset
from reactive.preset.template import variety

WIDTH = 110
# letters at which names and kinds of music wrap
CELL = 28
SAMPLE_PROMPTS = 3
MODES = {
    "walk": "from noise",
    "photo": "from photographs",
    "video": "from videos",
    "feedback": "each picture from the one before",
}


def prompt_count(preset: Preset) -> int:
    """Return how many different prompts a preset's pools can make."""
    return sum(phase_variety(preset, phase) for phase in preset.phase)


def phase_variety(preset: Preset, phase: Phase) -> int:
    """Return how many different prompts a phase's pool can make."""
    words = {**preset.words, **phase.words}
    return sum(variety(entry.text, words) for entry in phase.prompts)


def preset_table(presets: Mapping[str, Preset], *, shipped: Collection[str], width: int = WIDTH) -> str:
    """Return presets by name as a table of `width` letters: name, origin, prompts, music, idea; `shipped` names those that ship."""
    head = ("name", "origin", "prompts", "for", "idea")
    rows = [
        (
            name,
            "ships" if name in shipped else "installed",
            f"{prompt_count(one):,}",
            one.music or "any music",
            one.description,
        )
        for name, one in presets.items()
    ]
    sizes = [min(max(len(row[i]) for row in (head, *rows)), CELL) for i in range(4)]
    idea = max(width - sum(sizes) - 2 * len(sizes), 30)
    lines = []
    for name, origin, prompts, music, words in (head, *rows):
        texts, beside = textwrap.wrap(words, idea) or [""], textwrap.wrap(music, sizes[3])
        for i in range(max(len(texts), len(beside))):
            first = (name, origin, prompts) if i == 0 else ("", "", "")
            cells = (f"{first[0]:<{sizes[0]}}", f"{first[1]:<{sizes[1]}}", f"{first[2]:>{sizes[2]}}")
            lines.append("  ".join((*cells, f"{_at(beside, i):<{sizes[3]}}", _at(texts, i))).rstrip())
    return "\n".join(lines)


def _at(rows: list[str], number: int) -> str:
    return rows[number] if number < len(rows) else ""


def preset_page(name: str, preset: Preset) -> str:
    """Return a page about a preset for a band that may try it."""
    lines = [f"{preset.title} ({name})"]
    lines += textwrap.wrap(preset.description, WIDTH)
    facts = {
        "by": ", ".join(part for part in (preset.author, preset.licence) if part),
        "for": preset.music,
        "model": f"ember; stronger with {preset.model}" if preset.model else "ember",
        "credits": "; ".join(preset.credits),
        "style": preset.style,
        "negative": preset.negative,
        "walk": preset.walk,
        "lens zoom": preset.lens.zoom,
    }
    lines += ["", *(f"{key:<10} {value}" for key, value in facts.items() if value)]
    for macro in preset.macros:
        lines.append(f"{'macro':<10} {macro.name} ({macro.default:g}): {macro.description}")
    for key, words in {**preset.variables, **preset.words}.items():
        lines.append(f"{'words':<10} {{{key}}}: {_few(words)}")
    for phase in preset.phase:
        lines += ["", *_phase(preset, phase)]
    for pin in preset.pin:
        lines += ["", f"pinned to {pin.at}, for {pin.hold}: {pin.prompt}"]
    return "\n".join(lines)


def _phase(preset: Preset, phase: Phase) -> list[str]:
    switch = phase.switch
    how = "cuts" if switch.how == "cut" else f"{switch.how}s"
    over = f" over {switch.over}" if switch.over and switch.how != "cut" else ""
    number = phase_variety(preset, phase)
    lines = [
        f"{phase.name}: {MODES[phase.mode]}, {phase.bars[0]} to {phase.bars[1]} bars, {how} every {switch.every}{over}",
        f"  fits       {phase.fits}",
        f"  walk       {phase.walk or preset.walk}",
        f"  lens zoom  {(phase.lens or preset.lens).zoom}",
    ]
    if phase.mode == "feedback":
        lines.append(f"  camera     {(phase.camera or preset.camera).zoom}")
    if phase.mode != "walk":
        lines.append(f"  strength   {phase.strength or preset.strength}")
    if ground := phase.ground or preset.ground:
        lines.append(f"  ground     {_few(ground.show) or 'what is fed in'}, another with each {ground.every}")
        lines.append(f"  detail     {ground.detail}")
    pictures = preset.style_picture if phase.style_picture is None else phase.style_picture
    lines += [f"  style      {picture.file}, by {picture.weight}" for picture in pictures]
    controls = preset.control if phase.control is None else phase.control
    lines += [f"  control    {' of '.join(filter(None, (one.kind, one.file)))}, by {one.weight}" for one in controls]
    loras = preset.lora if phase.lora is None else phase.lora
    lines += [f"  lora       {lora.file}, by {lora.strength}" for lora in loras]
    order = f"{phase.order} by {phase.climb}" if phase.order == "ladder" else phase.order
    lines.append(f"  prompts    {number:,} by {order}")
    step = max(1, len(phase.prompts) // SAMPLE_PROMPTS)
    lines += [f"             {entry.text}" for entry in phase.prompts[::step][:SAMPLE_PROMPTS]]
    return lines


def _few(words: list[str]) -> str:
    shown = ", ".join(words[:6])
    return f"{shown}, ... ({len(words)})" if len(words) > 6 else shown
