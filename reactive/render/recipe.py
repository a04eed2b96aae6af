"""The recipe of a clip: all that decides it, as plain data that travels in the clip's own file.

Files are named by base name and sha256, never by path, so a recipe tells nothing of the machine that it was made on. The
whole preset is in it, so a preset can be extracted from a clip.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from reactive import __version__
from reactive.errors import MediaError
from reactive.files import hash_file
from reactive.media.safe import plain
from reactive.media.tags import MAX_TAG, RECIPE, XMP, read_tags
from reactive.preset.control import joined_control, split_control
from reactive.preset.installed import PRESET_FILE
from reactive.preset.style import split_style
from reactive.sources.depth_map import depth_map_of
from reactive.timeline.control_pictures import CONTROLS
from reactive.timeline.loras import LORAS, split_lora
from reactive.timeline.styles import STYLES
from reactive.timeline.timeline import COLOURS, in_use
from reactive.video.mark import xmp_packet

if TYPE_CHECKING:
    from reactive.diffusion.models.load import Model
    from reactive.media.sound import Track
    from reactive.render.inputs import RenderInputs
    from reactive.render.settings import Settings
    from reactive.timeline.timeline import Timeline

LIBRARIES = ("torch", "diffusers", "transformers", "av", "numpy", "librosa")
# files are in the recipe by hash; the other settings of these decide nothing in the finished clip
FILES = ("preset", "timeline", "model", "photos", "videos", "lyrics", "shots", "logo", "lut", "hearing")
ASIDE = ("overwrite", "recipe", "telling", "job", "mixed", "also", "longest", "shortest", "ray", "workers")
MAX_FILES = 1000


def _base_name(name: str) -> str:
    if name != plain(name) or not name or name in (".", "..") or "/" in name or "\\" in name:
        raise ValueError("is not a plain file name")
    return name


Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Word = Annotated[str, Field(max_length=200), AfterValidator(_base_name)]
Plain = bool | int | float | str | None


class Strict(BaseModel):
    """Data from untrusted files: no other keys, no infinite or NaN numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Named(Strict):
    """A file by its base name and the sha256 of its bytes (of a model: the hash of its folder)."""

    name: str = Field(max_length=255)
    sha256: Digest

    @property
    def short(self) -> str:
        """Return how a file is called in messages."""
        return f"{self.name} (sha256 {self.sha256[:12]})"


class PresetText(Named):
    """The preset, whole."""

    text: str = Field(max_length=2_000_000)


class Recipe(Strict):
    """All that decides a clip; `settings` holds what was chosen, rules resolved, by the names of `Settings.of`."""

    format: Literal["reactive-recipe"]
    version: Literal[1]
    reactive: Word
    libraries: dict[Word, Word] = Field(max_length=50)
    machine: Word
    # the song by its sound, and by the bytes of its file
    song: Named
    song_file: Digest | None = None
    preset: PresetText | None
    timeline: Named | None
    lyrics: Named | None
    model: Named
    # pictures that steer the style, the preset's own included
    styles: list[Named] = Field([], max_length=MAX_FILES)
    # pictures and films whose shapes are kept
    controls: list[Named] = Field([], max_length=MAX_FILES)
    # what is exchanged or fused into it; older clips name them in `settings` only, without hashes
    loras: list[Named] = Field([], max_length=MAX_FILES)
    vae: Named | None = None
    quant: Named | None = None
    photos: list[Named] = Field(max_length=MAX_FILES)
    videos: list[Named] = Field([], max_length=MAX_FILES)
    # edits of single shots, whole, and the photographs that they name
    shots: PresetText | None = None
    shot_photos: list[Named] = Field([], max_length=MAX_FILES)
    # pictures beneath the frames that were not fed in
    grounds: list[Named] = Field([], max_length=MAX_FILES)
    # depth maps of all these photographs
    depths: list[Named] = Field([], max_length=MAX_FILES)
    logo: Named | None = None
    lut: Named | None = None
    # the grid as a person corrected it, and what was given beside the song
    grid: dict[Word, Plain | list[float] | list[str]] = Field({}, max_length=20)
    stems: dict[Word, Named] = Field({}, max_length=MAX_FILES)
    midi: Named | None = None
    markers: Named | None = None
    settings: dict[Word, Plain | list[Plain] | dict[str, float]] = Field(max_length=100)
    decided: Digest


def make_recipe(
    settings: Settings,
    *,
    song: str | os.PathLike[str],
    track: Track,
    timeline: Timeline,
    model: Model,
    inputs: RenderInputs,
    hashes: Mapping[Path, str],
    grounds: Sequence[Path] = (),
    styles: Sequence[Path] = (),
    controls: Sequence[Path] = (),
) -> Recipe:
    """Return the recipe of a clip.

    Parameters
    ----------
    settings
        How it is made, with each choice by rule replaced by what was chosen.
    song, track
        The song's file and what was read from it.
    timeline
        What was decided for every frame.
    model
        The model that imagines it.
    inputs
        Preset, words and edits of shots as they were read to decide the timeline; nothing is read a second time.
    hashes
        The sha256 of each photograph and video, as the keys of the pictures have it.
    """
    preset, lyrics, shots = None, _named(settings.sources.lyrics), None
    if inputs.preset is not None:
        file = inputs.preset.path
        name = file.resolve().parent.name if file.name == PRESET_FILE else file.stem
        preset = _text(name, inputs.preset.text)
    if inputs.lyrics is not None:
        lyrics = Named(name=_clear(inputs.lyrics.path), sha256=inputs.lyrics.sha256)
    if inputs.shots is not None:
        shots = _text(inputs.shots.path, inputs.shots.text)
    kept = settings.to_data()
    # named by a person's own paths, which a recipe must not tell
    kept["loras"] = [_lora_text(*split_lora(lora)) for lora in settings.model.loras]
    told = map(split_style, settings.sources.styles)
    kept["styles"] = [f"{_clear(PureWindowsPath(name).name)}:{weight}" for name, weight in told]
    kept["controls"] = [
        joined_control(kind, _clear(PureWindowsPath(name).name) if name else "", weight)
        for kind, name, weight in map(split_control, settings.sources.controls)
    ]
    kept["control_models"] = [
        f"{kind}={_model_name(name)}" if name else kind
        for kind, _, name in (text.partition("=") for text in settings.model.control_models)
    ]
    kept["adapter"] = _model_name(settings.model.adapter) if settings.model.adapter else None
    kept["vae"] = _model_name(settings.model.vae) if settings.model.vae else None
    kept["quant"] = _clear(settings.model.quant) if settings.model.quant else None
    return Recipe(
        format="reactive-recipe",
        version=1,
        reactive=__version__,
        libraries={name: version(name) for name in LIBRARIES},
        machine=f"{platform.system()} {platform.machine()}",
        song=Named(name=_clear(os.fspath(song)), sha256=track.sha256),
        song_file=track.file_sha256 or None,
        preset=preset,
        timeline=_named(settings.sources.timeline),
        lyrics=lyrics,
        model=Named(name=_model_name(settings.model.name), sha256=model.sha256),
        loras=[_named_lora(text) for text in settings.model.loras],
        vae=_named_autoencoder(settings.model.vae, model.family) if settings.model.vae else None,
        quant=_named_quant(settings.model.quant),
        photos=[Named(name=_clear(photo), sha256=hashes[photo]) for photo in settings.sources.photos],
        videos=[Named(name=_clear(video), sha256=hashes[video]) for video in settings.sources.videos],
        shots=shots,
        shot_photos=[Named(name=_clear(p), sha256=hashes[p]) for p in (inputs.shots.photos if inputs.shots else ())],
        grounds=[Named(name=_clear(ground), sha256=hashes[ground]) for ground in grounds],
        depths=[Named(name=_clear(depth), sha256=hash_file(depth)) for depth in map(depth_map_of, hashes) if depth],
        styles=[Named(name=_clear(style), sha256=hash_file(style)) for style in styles],
        controls=[Named(name=_clear(control), sha256=hash_file(control)) for control in controls],
        logo=_named(settings.overlay.logo),
        lut=_named(settings.colours.lut),
        grid={name: value for name, value in kept["hearing"]["corrections"].items() if value},
        stems={name: Named(name=_clear(path), sha256=hash_file(path)) for name, path in settings.hearing.stems},
        midi=_named(settings.hearing.midi),
        markers=_named(settings.hearing.markers),
        settings={name: value for name, value in kept.items() if name not in (*FILES, *ASIDE)},
        decided=timeline_hash(timeline),
    )


def clip_tags(recipe: Recipe | None) -> dict[str, str]:
    """Return what a clip carries in its file: the mark of generative AI, and its recipe unless that was declined."""
    tags = {XMP: xmp_packet()}
    if recipe is not None:
        text = recipe.model_dump_json()
        # a preset of 2 MB fits; no reader takes more
        if len(text.encode()) <= MAX_TAG:
            tags[RECIPE] = text
    return tags


def read_recipe(clip: str | os.PathLike[str]) -> Recipe:
    """Return the recipe that a clip carries, checked like any untrusted file.

    Raises
    ------
    MediaError
        If it is not a clip, or its recipe is missing or not valid.
    """
    text = read_tags(clip).get(RECIPE)
    if text is None:
        raise MediaError(
            "carries no recipe", where=str(clip), remedy="only clips that reactive wrote without --no-recipe do"
        )
    try:
        recipe = Recipe.model_validate_json(text)
        for named in (
            recipe.song,
            recipe.preset,
            recipe.timeline,
            recipe.lyrics,
            recipe.shots,
            *recipe.photos,
            *recipe.videos,
            *recipe.shot_photos,
            *recipe.grounds,
            *recipe.styles,
            *recipe.controls,
            *recipe.loras,
            recipe.quant,
            recipe.logo,
            recipe.lut,
        ):
            if named is not None:
                _base_name(named.name)
    except (ValidationError, ValueError) as problem:
        what = str(problem)
        if isinstance(problem, ValidationError):
            error = problem.errors(include_url=False, include_input=False)[0]
            what = f"{'.'.join(map(str, error['loc']))[:80]}: {error['msg'][:120]}"
        raise MediaError(
            f"carries a recipe that can't be used ({plain(what)})", where=str(clip), remedy="update reactive-clip"
        ) from None
    if recipe.preset and hashlib.sha256(recipe.preset.text.encode()).hexdigest() != recipe.preset.sha256:
        raise MediaError("carries a preset that was changed", where=str(clip), remedy="ask for the clip again")
    if recipe.shots and hashlib.sha256(recipe.shots.text.encode()).hexdigest() != recipe.shots.sha256:
        raise MediaError("carries a shots file that was changed", where=str(clip), remedy="ask for the clip again")
    return recipe


def differences(then: Recipe, now: Recipe) -> list[str]:
    """Return in words what differs between two recipes and may make their clips differ."""
    before = {"reactive": then.reactive, "machine": then.machine, **then.libraries, **then.settings}
    after = {"reactive": now.reactive, "machine": now.machine, **now.libraries, **now.settings}
    found = [
        f"{name} is {after.get(name)}, was {value}"
        for name, value in before.items()
        # older recipes do not say which number format was chosen by rule
        if after.get(name) != value and (name, value) != ("dtype", "auto")
    ]
    if then.song.sha256 not in (now.song.sha256, now.song_file):
        found.append("another song")
    for name in ("preset", "timeline", "lyrics", "shots", "logo", "lut", "model"):
        one, other = getattr(then, name), getattr(now, name)
        if (one and one.sha256) != (other and other.sha256):
            found.append(f"another {name}")
    if [photo.sha256 for photo in (*then.photos, *then.shot_photos)] != [
        photo.sha256 for photo in (*now.photos, *now.shot_photos)
    ]:
        found.append("other photographs")
    if [video.sha256 for video in then.videos] != [video.sha256 for video in now.videos]:
        found.append("other videos")
    if [ground.sha256 for ground in then.grounds] != [ground.sha256 for ground in now.grounds]:
        found.append("other grounds")
    if [depth.sha256 for depth in then.depths] != [depth.sha256 for depth in now.depths]:
        found.append("other depth maps")
    if [style.sha256 for style in then.styles] != [style.sha256 for style in now.styles]:
        found.append("other pictures of its style")
    if [control.sha256 for control in then.controls] != [control.sha256 for control in now.controls]:
        found.append("other pictures whose shapes are kept")
    if then.decided != now.decided:
        found.append("another timeline was decided")
    return found


def timeline_hash(timeline: Timeline) -> str:
    """Return one sha256 over everything that a timeline decides for its frames."""
    digest = hashlib.sha256(
        repr(
            (
                str(timeline.fps),
                timeline.seed,
                timeline.prompts,
                timeline.cuts,
                *timeline.grounds,
                *timeline.styles,
                *timeline.controls,
                *timeline.loras,
            )
        ).encode()
    )
    # older programs knew fewer columns; their clips keep the hash that they have
    later = {*COLOURS, *STYLES, *CONTROLS, *LORAS, "palette_from", "palette_to"}
    for name in sorted(timeline.columns.keys() - (later - set(in_use(timeline.columns)))):
        digest.update(name.encode())
        digest.update(timeline.columns[name].tobytes())
    if timeline.palettes:
        digest.update(repr(timeline.palettes).encode())
    return digest.hexdigest()


def _text(path: str | os.PathLike[str], text: str) -> PresetText:
    return PresetText(name=_clear(path), sha256=hashlib.sha256(text.encode()).hexdigest(), text=text)


def _named(path: Path | None) -> Named | None:
    return Named(name=_clear(path), sha256=hash_file(path)) if path is not None else None


def _clear(path: str | os.PathLike[str]) -> str:
    """Return a base name without what a reader would refuse."""
    name = os.fsencode(Path(path).name).decode("utf-8", "replace")
    return plain(name).replace("\\", "_")[:255] or "unnamed"


def _named_lora(text: str) -> Named:
    # a preset is extracted without loading what models need
    from reactive.diffusion.models.lora import find_lora, parse_lora

    name, scale = parse_lora(text)
    return Named(name=_clear(PureWindowsPath(name).name), sha256=find_lora(name, scale).sha256)


def _lora_text(name: str, strength: str) -> str:
    base = _clear(PureWindowsPath(name).name)
    return f"{base}:{plain(strength)}" if strength else base


def _named_autoencoder(name: str, family: Any) -> Named:
    from reactive.diffusion.models.autoencoders import find_autoencoder, hash_autoencoder

    return Named(name=_model_name(name), sha256=hash_autoencoder(find_autoencoder(name, family)))


def _named_quant(text: str | None) -> Named | None:
    """Return the GGUF file that ``--quant`` names; None if it names a kind."""
    from reactive.diffusion.models.quantised import parse_quant

    file = parse_quant(text).file
    return None if file is None else _named(file)


def _model_name(name: str) -> str:
    """Return a model's name: a hub id as it is, a folder by its base name."""
    is_path = Path(name).exists() or name.count("/") != 1 or name.startswith((".", "/", "~"))
    return _clear(name) if is_path or "\\" in name else name
