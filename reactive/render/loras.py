"""The LoRAs that presets, timelines and takes name: found beside them, and added to those that a person gave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from reactive.diffusion.models.catalogue import find_entry
from reactive.errors import ModelError
from reactive.preset.schema import Preset
from reactive.render.settings import Settings
from reactive.render.take import load_take
from reactive.timeline.file import load_timeline
from reactive.timeline.loras import AS_PRESET, lora_names, split_lora, varies

S = TypeVar("S", bound=Settings)


def with_loras(settings: S, preset: Preset | None, folder: Path | None, *, strict: bool = True) -> S:
    """Return settings whose model also has the LoRAs that their preset, timeline or take names.

    Parameters
    ----------
    preset, folder
        The preset and its folder; None if an edited timeline or a take stands in its place.
    strict
        Whether to refuse strengths that nothing reads.

    Raises
    ------
    ModelError
        If a file is not there, or a strength would not be read.
    ReactiveError
        If a timeline or a take can't be read.
    """
    sources = settings.sources
    names: tuple[str, ...] = ()
    folders = [path.parent for path in (sources.timeline, sources.take) if path]
    if sources.timeline:
        names = load_timeline(sources.timeline).loras
    elif sources.take:
        take = load_take(sources.take)
        given = [Path(split_lora(text)[0]).name for text in take.loras]
        names = (*given, *(name for one in take.checked_presets().values() for name in lora_names(one)))
    elif preset is not None:
        names, folders = lora_names(preset), [folder] if folder else []
    if strict:
        _check_read(settings, names)
    wanted = named_loras(tuple(dict.fromkeys(names)), settings.model.loras, folders)
    return settings if wanted == settings.model.loras else settings.changed(loras=wanted)


def _check_read(settings: Settings, names: Sequence[str]) -> None:
    """Refuse strengths that nothing reads: in place of a preset stands a timeline or take, or it has no such LoRA."""
    replaced = "timeline" if settings.sources.timeline else "take" if settings.sources.take else ""
    for text in settings.model.loras:
        name, strength = split_lora(text)
        known = Path(name).name in names
        if strength == AS_PRESET and not known:
            raise ModelError(
                f"the {replaced or 'preset'} has no LoRA of this name",
                where=f"--lora {text}",
                remedy="give it a strength",
            )
        if replaced and strength != AS_PRESET and (varies(strength) or (known and strength)):
            raise ModelError(
                f"the {replaced} says how strong LoRAs are in each frame",
                where=f"--lora {text}",
                remedy=f"name it without a strength, or give the strength when the {replaced} is made",
            )


def named_loras(names: Sequence[str], given: Sequence[str], folders: Sequence[Path]) -> tuple[str, ...]:
    """Return what a person gave with the LoRAs of these names, whose strengths a preset or timeline has.

    Parameters
    ----------
    names
        Base names of files, or short names of the catalogue.
    given
        Files with strengths. One of these names without a strength says where the file is; with one, it has this strength.
    folders
        Where the others may be; the first with the file counts.

    Raises
    ------
    ModelError
        If a file is not there.
    """
    told = [split_lora(text) for text in given]
    texts = [
        text
        if Path(name).name not in names or varies(strength)
        else f"{name}:({strength})"
        if strength
        else f"{name}:{AS_PRESET}"
        for text, (name, strength) in zip(given, told, strict=True)
    ]
    here = {Path(name).name for name, _ in told}
    for name in names:
        if name in here:
            continue
        beside = next((folder / name for folder in folders if (folder / name).exists()), None)
        entry = find_entry(name)
        if beside is None and (entry is None or entry.kind != "lora"):
            raise ModelError(
                "is not beside the preset", where=name, remedy="put the LoRA there, or name it with --lora"
            )
        texts.append(f"{beside or name}:{AS_PRESET}")
    return tuple(texts)
