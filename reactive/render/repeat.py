"""Make a clip again from the recipe that it carries, bit for bit where machine and versions are the same."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactive.audio.corrections import Corrections
from reactive.audio.hear import HearingOptions
from reactive.diffusion.models.catalogue import find_entry as known_model
from reactive.diffusion.models.control import split_network
from reactive.diffusion.models.load import hash_weights
from reactive.diffusion.models.lora import find_lora, parse_lora
from reactive.diffusion.models.quantised import KINDS
from reactive.errors import MediaError, ModelError, ReactiveError
from reactive.files import hash_file
from reactive.media.safe import regular_file
from reactive.media.sound import open_track
from reactive.preset.archive import name_fault
from reactive.preset.control import joined_control, split_control
from reactive.preset.installed import PRESET_FILE
from reactive.preset.style import split_style
from reactive.render.clip import Clip
from reactive.render.recipe import ASIDE, FILES, Named, Recipe, differences, read_recipe
from reactive.render.run import make_clip
from reactive.render.settings import Progress, Settings
from reactive.sources.depth_map import depth_map_of, map_path
from reactive.sources.imagery import library


@dataclass(frozen=True)
class RepeatedClip:
    """A clip that was made again, and in words what differs from the first time; empty if nothing does."""

    clip: Clip
    differs: tuple[str, ...]


def repeat_clip(
    recipe: Recipe,
    song: str | os.PathLike[str],
    out: Path,
    *,
    places: Sequence[Path] = (),
    model: str | None = None,
    loras: Sequence[Path] = (),
    vae: str | None = None,
    adapter: str | None = None,
    control_models: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RepeatedClip:
    """Make a clip again.

    Parameters
    ----------
    recipe
        What `read_recipe` gave.
    song
        The song, whose hash must be that of the recipe.
    out
        The clip to write.
    places
        Files, or folders in which photographs, words and timelines are looked for by name and hash.
    model, vae, adapter
        Where the model, its exchanged autoencoder and its adapter are, if they are folders or files.
    control_models
        Where its control networks are, as ``canny=FOLDER``, if they are folders.
    loras
        Where its LoRAs are, in any order, in addition to `places`.

    Raises
    ------
    ReactiveError
        If the song, the model or a file is missing or was changed; the message has its hash.
    """
    check_song(recipe, song)
    around = _around(song, places)
    parts = _model_again(recipe, around, model, loras, vae, adapter, control_models)
    with settings_again(recipe, song, places=places, parts=parts) as settings:
        clip = make_clip(song, out, settings.changed(overwrite=overwrite), progress=progress)
    differs = differences(recipe, read_recipe(out))
    return RepeatedClip(clip, tuple(differs))


def check_song(recipe: Recipe, song: str | os.PathLike[str]) -> None:
    """Check that a song is the one that a recipe's clip was made of.

    Raises
    ------
    MediaError
        If it is another one, or can't be read.
    """
    known = [digest for digest in (recipe.song.sha256, recipe.song_file) if digest]
    if hash_file(regular_file(song)) not in known:
        track = open_track(song)
        if not track.is_called(*known):
            raise MediaError(
                f"is another song: sha256 {track.sha256[:12]}, and the clip was made of {recipe.song.short}",
                where=os.fspath(song),
                remedy="name that song; `reactive preset extract` gives the preset for others",
            )


def _around(song: str | os.PathLike[str], places: Sequence[Path]) -> list[Path]:
    # a photograph may be in several, but have its depth map in one that was named
    return [*places, Path(song).parent, Path.cwd()]


def _model_again(
    recipe: Recipe,
    around: Sequence[Path],
    model: str | None,
    loras: Sequence[Path],
    vae: str | None,
    adapter: str | None,
    control_models: Sequence[str],
) -> dict[str, Any]:
    """Return the settings of a recipe's model, whose weights must be those of the recipe."""
    name = model or recipe.model.name
    fused = _loras(recipe, [*loras, *around])
    exchanged = vae or _part(recipe, "vae", around)
    steered = adapter or _part(recipe, "adapter", around)
    networks = _control_models(recipe, control_models, around)
    quant = _quant(recipe, around)
    weights = hash_weights(name, fused, exchanged, steered, quant, networks)
    if weights != recipe.model.sha256:
        raise ModelError(
            f"is another model: {weights[:12]}, and the clip was made by {recipe.model.short}",
            where=f"--model {name}",
            remedy="name that model"
            + (
                ", its LoRAs, autoencoder, adapter and control networks"
                if fused or exchanged or steered or networks
                else ""
            ),
        )
    said = {"vae": exchanged, "adapter": steered, "quant": quant}
    return said | {"model": name, "loras": fused, "control_models": networks}


@contextmanager
def settings_again(
    recipe: Recipe,
    song: str | os.PathLike[str],
    *,
    places: Sequence[Path] = (),
    parts: Mapping[str, Any] | None = None,
) -> Iterator[Settings]:
    """Yield the settings of a recipe's clip, with its files as they are found here, for as long as the block lasts.

    Parameters
    ----------
    recipe, song, places
        As in `repeat_clip`.
    parts
        The settings of the model; None where nothing is imagined.

    Raises
    ------
    ReactiveError
        If a file is missing or was changed.
    """
    around = _around(song, places)
    photos = tuple(_find(photo, around, "--photo") for photo in recipe.photos)
    videos = tuple(_find(video, around, "--video") for video in recipe.videos)
    timeline = _find(recipe.timeline, around, "--timeline") if recipe.timeline else None
    lyrics = _find(recipe.lyrics, around, "--lyrics") if recipe.lyrics else None
    logo = _find(recipe.logo, around, "--logo") if recipe.logo else None
    styles = {style.name: _find(style, around, "--style") for style in recipe.styles}
    controls = {control.name: _find(control, around, "--control") for control in recipe.controls}
    lut = _find(recipe.lut, around, "--lut") if recipe.lut else None
    said = _settings(recipe)
    with tempfile.TemporaryDirectory(prefix="reactive-recipe-") as room:
        files: dict[str, Any] = {}
        if recipe.preset:
            name_here = recipe.preset.name if not name_fault(recipe.preset.name) else "preset"
            folder = Path(room, name_here)
            folder.mkdir()
            (folder / PRESET_FILE).write_bytes(recipe.preset.text.encode("utf-8"))
            files["preset"] = str(folder)
            shipped = {entry.sha256 for entry in library()} if recipe.grounds else set()
            for ground in recipe.grounds:
                if ground.sha256 not in shipped:
                    _copy_photo(_find(ground, around, "--photo"), folder / ground.name)
            for name_of, file in {**styles, **controls}.items():
                shutil.copyfile(file, folder / name_of)
        if recipe.shots:
            # a folder of its own, so that a photograph and another file can't have the same name
            beside = Path(room, "shots", "photos")
            beside.mkdir(parents=True)
            for photo in recipe.shot_photos:
                _copy_photo(_find(photo, around, "--photo"), beside / photo.name)
            files["shots"] = beside / ".toml"
            files["shots"].write_bytes(recipe.shots.text.encode("utf-8"))
        _check_depths(recipe, (*photos, *Path(room).rglob("*")))
        yield said.changed(
            **files,
            **(parts or {}),
            styles=tuple(_with_folder(text, styles) for text in said.sources.styles),
            controls=tuple(_control_with_folder(text, controls) for text in said.sources.controls),
            photos=photos,
            videos=videos,
            timeline=timeline,
            lyrics=lyrics,
            logo=logo,
            lut=lut,
            hearing=_hearing_options(recipe, around),
            recipe=True,
        )


def _loras(recipe: Recipe, places: Sequence[Path]) -> tuple[str, ...]:
    """Return a recipe's LoRAs with their strengths, each as the file of its hash (before there were hashes, its name)."""
    loras = recipe.settings.get("loras") or []
    told = [text for text in loras if isinstance(text, str)] if isinstance(loras, list) else []
    if not isinstance(loras, list) or len(told) != len(loras):
        raise ReactiveError("the recipe's loras can't be used", remedy="do not trust this clip")
    wanted: Sequence[Named | None] = recipe.loras or [None] * len(told)
    if len(wanted) != len(told):
        raise ReactiveError("the recipe's loras can't be used", remedy="do not trust this clip")
    found = []
    for text, named in zip(told, wanted, strict=True):
        name = parse_lora(text)[0]
        inside = [place / name for place in places if place.is_dir()]
        # by its name first: it is part of the preset, and a folder stands for its first file
        for candidate in (*inside, *places, *(folder for folder in [Path(name)] if known_model(name))):
            try:
                path = str(candidate)
                if named is None or find_lora(path).sha256 == named.sha256:
                    found.append(path + text[len(name) :])
                    break
            except (ReactiveError, OSError):
                continue
        else:
            short = named.short if named else name
            raise MediaError(
                f"the recipe needs {short}, which is not here", where="--lora", remedy="name it with --lora"
            )
    return tuple(found)


def _with_folder(text: str, files: Mapping[str, Path]) -> str:
    """Return a reference picture as a person names it, by the place where its file was found."""
    name, weight = split_style(text)
    if name not in files:
        raise ReactiveError("the recipe's styles can't be used", remedy="do not trust this clip")
    return f"{files[name]}:{weight}"


def _control_with_folder(text: str, files: Mapping[str, Path]) -> str:
    """Return a picture whose shapes are kept as a person names it, by the place where its file was found."""
    kind, name, weight = split_control(text)
    if name and name not in files:
        # it counted in no frame
        return joined_control(kind, "", "0")
    return joined_control(kind, str(files[name]) if name else "", weight)


def _control_models(recipe: Recipe, given: Sequence[str], places: Sequence[Path]) -> tuple[str, ...]:
    """Return a recipe's control networks: those that are named now, else the folders of their names among places, else the names."""
    told = recipe.settings.get("control_models", [])
    names = [text for text in told if isinstance(text, str)] if isinstance(told, list) else []
    if names != told:
        raise ReactiveError("the recipe's control_models can't be used", remedy="do not trust this clip")
    named = dict(split_network(text) for text in given)
    found = []
    for kind, name in map(split_network, names):
        chosen = named.get(kind) or (_placed(name, "control_models", places) if name else "")
        found.append(f"{kind}={chosen}" if chosen else kind)
    return tuple(found)


def _part(recipe: Recipe, part: str, places: Sequence[Path]) -> str | None:
    """Return a recipe's exchanged autoencoder, or adapter: the file or folder of its name among places, else its name."""
    told = recipe.settings.get(part)
    return None if told is None else _placed(told, part, places)


def _placed(told: Any, part: str, places: Sequence[Path]) -> str:
    """Return the file or folder of a name among places, else the name."""
    if not isinstance(told, str) or told.startswith((".", "/", "~")) or "\\" in told or told.count("/") > 1:
        raise ReactiveError(f"the recipe's {part} can't be used", remedy="do not trust this clip")
    inside = [place / told for place in places if place.is_dir() and Path(told).name == told]
    return next((str(path) for path in inside if path.exists()), told)


def _quant(recipe: Recipe, places: Sequence[Path]) -> str | None:
    """Return how a recipe's model is quantised: its GGUF file among places, or the kind."""
    if recipe.quant is not None:
        return str(_find(recipe.quant, places, "--quant"))
    told = recipe.settings.get("quant")
    if told is not None and told not in KINDS:
        raise ReactiveError("the recipe's quant can't be used", remedy="do not trust this clip")
    return told


def _hearing_options(recipe: Recipe, around: list[Path]) -> HearingOptions:
    """Return the corrections and files that the recipe has for the song; those saved beside the song on this machine are ignored."""
    try:
        grid: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in recipe.grid.items()
        }
        corrections = Corrections(**grid)
    except TypeError:
        raise ReactiveError("the recipe's grid can't be used", remedy="do not trust this clip") from None
    return HearingOptions(
        corrections=corrections,
        stems=tuple((name, _find(stem, around, "--stem")) for name, stem in recipe.stems.items()),
        midi=_find(recipe.midi, around, "--midi") if recipe.midi else None,
        markers=_find(recipe.markers, around, "--markers") if recipe.markers else None,
        settled=True,
    )


def _settings(recipe: Recipe) -> Settings:
    """Return a recipe's settings by the names of `Settings.of`, without those that name files.

    Raises
    ------
    ReactiveError
        If it holds settings that this version does not know, or values that are not possible.
    """
    known = set(Settings.names()) - {*FILES, *ASIDE}
    for name in recipe.settings:
        if name not in known:
            raise ReactiveError(f"the recipe has a setting {name[:40]}", remedy="update reactive-clip")
    # the value of clips that are older than the setting
    said: dict[str, Any] = {"lanes": -1, **recipe.settings}
    if said.get("dtype") == "auto" and said.get("device") == "cpu":
        said["dtype"] = "float32"
    try:
        return Settings.from_data(said)
    except ReactiveError as problem:
        faulty = problem.where.lstrip("-")[:40]
        raise ReactiveError(f"the recipe's {faulty} can't be used", remedy="do not trust this clip") from None


def _copy_photo(photo: Path, target: Path) -> None:
    """Copy a photograph, and its depth map if it has one."""
    shutil.copyfile(photo, target)
    if depth := depth_map_of(photo):
        shutil.copyfile(depth, map_path(target))


def _check_depths(recipe: Recipe, photos: Iterable[Path]) -> None:
    """Make sure that each depth map of a recipe lies beside its photograph.

    Raises
    ------
    MediaError
        If one does not.
    """
    known = {hash_file(depth) for depth in map(depth_map_of, photos) if depth} if recipe.depths else set()
    for wanted in recipe.depths:
        if wanted.sha256 not in known:
            raise MediaError(
                f"the recipe needs {wanted.short}", where="--photo", remedy="put that depth map beside its photograph"
            )


def _find(wanted: Named, places: Iterable[Path], option: str) -> Path:
    """Return the file of a name and hash, or of that hash, among places.

    Raises
    ------
    MediaError
        If it is not found.
    """
    for place in places:
        candidate = place / wanted.name if place.is_dir() else place
        try:
            if candidate.is_file() and hash_file(candidate) == wanted.sha256:
                return candidate
        except OSError:
            continue
    raise MediaError(
        f"the recipe needs {wanted.short}, which is not here", where=option, remedy=f"name it with {option}"
    )
