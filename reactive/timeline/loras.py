"""LoRAs whose strength changes from frame to frame: which ones a preset has, and how strong each is in every frame."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from reactive.errors import PresetError
from reactive.preset.schema import MAX_LORAS, Phase, Preset, PresetLora

# the columns of their strengths, in the order of the timeline's names
LORAS = tuple(f"lora_{number}" for number in range(1, MAX_LORAS + 1))
# the strength of a LoRA that is named to say where it is: what the preset, timeline or take says
AS_PRESET = "preset"
_NUMBER = re.compile(r"[+-]?[0-9]*\.?[0-9]+")


def split_lora(text: str) -> tuple[str, str]:
    """Return the file and the strength of ``film.safetensors:0.8``, a number or an expression; empty if none is given."""
    if Path(text).is_file():
        return text, ""
    name, colon, strength = text.rpartition(":")
    # a drive letter's colon is followed by a path
    if not colon or len(name) < 2 or strength.startswith("\\") or _is_path(strength):
        return text, ""
    return name, strength.strip()


def varies(strength: str) -> bool:
    """Return whether the strength of a LoRA may change from frame to frame: it is an expression, or the preset's."""
    return bool(strength) and not _NUMBER.fullmatch(strength)


def lora_names(preset: Preset) -> tuple[str, ...]:
    """Return the files of all of a preset's LoRAs, each once, in the order in which they are written."""
    holders = [preset.lora, *(phase.lora or [] for phase in preset.phase)]
    return tuple(dict.fromkeys(lora.file for loras in holders for lora in loras))


def lora_strengths(texts: Sequence[str]) -> list[PresetLora]:
    """Return the LoRAs that a person gave with an expression, as a preset has them: base names and strengths.

    Raises
    ------
    PresetError
        If a strength is not an expression, or reads a knob of a preset.
    """
    found = []
    for text in texts:
        name, strength = split_lora(text)
        if not varies(strength) or strength == AS_PRESET:
            continue
        try:
            lora = PresetLora.model_validate(
                {"file": Path(name).name, "strength": strength}, context={"macros": frozenset()}
            )
        except ValidationError as problem:
            what, _, remedy = problem.errors()[0]["msg"].removeprefix("Value error, ").partition("|")
            raise PresetError(
                f'"{strength}": {what}',
                where=f"--lora {text}",
                remedy=remedy or "write for instance film.safetensors:0.8",
            ) from None
        found.append(lora)
    return found


def with_lora_strengths(preset: Preset, loras: Sequence[PresetLora]) -> Preset:
    """Return a preset with more LoRAs, in all of its phases; one that it has gets the new strength.

    Raises
    ------
    PresetError
        If there are too many, or two of one name.
    """
    if not loras:
        return preset
    given = [lora.file for lora in loras]
    if twice := next((name for name in given if given.count(name) > 1), None):
        raise PresetError("is given twice", where=f"--lora {twice}", remedy="rename one of the files")
    names = dict.fromkeys([*lora_names(preset), *given])
    if len(names) > MAX_LORAS:
        raise PresetError(
            f"there are {len(names)} LoRAs whose strength changes",
            where="--lora",
            remedy=f"give at most {MAX_LORAS} an expression, the preset's own included",
        )

    def more(holder: Preset | Phase) -> dict[str, list[PresetLora]]:
        if holder.lora is None:
            return {}
        return {"lora": [*(lora for lora in holder.lora if lora.file not in given), *loras]}

    phases = [phase.model_copy(update=more(phase)) for phase in preset.phase]
    return preset.model_copy(update={**more(preset), "phase": phases})


def lora_expressions(preset: Preset, phase: Phase) -> dict[str, str]:
    """Return the expressions of the strengths in a phase, by column; 0 for LoRAs that it does not have."""
    here = preset.lora if phase.lora is None else phase.lora
    strengths = {lora.file: lora.strength for lora in here}
    names = lora_names(preset)
    texts = [strengths.get(name, "0") for name in names]
    return dict(zip(LORAS, [*texts, *("0",) * (len(LORAS) - len(texts))], strict=True))


def loras_at(columns: Mapping[str, np.ndarray], frame: int, count: int) -> tuple[float, ...]:
    """Return the strengths of `count` LoRAs in a frame."""
    return tuple(float(columns[name][frame]) for name in LORAS[:count])


def _is_path(text: str) -> bool:
    return text.startswith("/") or text.endswith((".safetensors", ".json"))
