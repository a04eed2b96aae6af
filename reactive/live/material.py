"""Song, analysis, model and sources of a preview, loaded once, with the settings that `reactive run` would use."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reactive.audio.analysis import Analysis
from reactive.audio.cache import hear_once
from reactive.audio.corrections import NO_CORRECTIONS, Corrections
from reactive.diffusion.backend.shapes import shape_of
from reactive.diffusion.controls import ControlPictures, control_files, has_controls, networks_of, subject_files
from reactive.diffusion.grounds import Grounds, load_grounds
from reactive.diffusion.imaginer import Imaginer
from reactive.diffusion.models.adapter import StyleBank
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import Model, choose_device, default_threads
from reactive.diffusion.scene import Sources, load_sources
from reactive.diffusion.styles import load_styles, style_files
from reactive.errors import OutputError
from reactive.live.file_state import file_state_of
from reactive.live.grid import saved_grid
from reactive.live.single_shots import NO_SHOTS, SingleShots, read_shots
from reactive.media.cube import Cube, read_cube
from reactive.media.picture import parse_colour
from reactive.media.sound import Track
from reactive.preset.library import open_preset
from reactive.preset.schema import Preset
from reactive.render.footage import footage_of
from reactive.render.loras import with_loras
from reactive.render.settings import Settings
from reactive.render.sizes import imagine_size, output_size
from reactive.render.steering import with_adapter, with_controls
from reactive.timeline.colours import recoloured
from reactive.timeline.films import Footage
from reactive.timeline.pools import plain_texts
from reactive.timeline.timeline import Timeline

# small, because an edit waits for the current batch; other batch sizes change pictures only by rounding
LIVE_BATCH = {"cpu": 4, "cuda": 8}


class PreviewOptions(Settings):
    """The settings of a preview; a `draft` is smaller and may differ from the final clip.

    `no_shots`: songs of a set list are played without the edits of single shots beside them.
    """

    draft: bool = False
    no_shots: bool = False


@dataclass
class Studio:
    """Model and sources, which do not depend on the music."""

    options: PreviewOptions
    model: Model
    sources: Sources
    size: tuple[int, int]
    imagined: tuple[int, int]
    device: str
    # photographs of single shots, which `sources` holds after those that were given
    shot_photos: tuple[Path, ...] = field(default=(), kw_only=True)
    # of the preset that is played
    lut: Cube | None = field(default=None, kw_only=True)

    @property
    def fed_photos(self) -> tuple[Path, ...]:
        """The photographs of `sources`, in the order of their numbers."""
        return (*self.options.sources.photos, *self.shot_photos)

    @property
    def photo_names(self) -> tuple[str, ...]:
        """Base names of the photographs."""
        return tuple(photo.name for photo in self.options.sources.photos)

    @property
    def video_names(self) -> tuple[str, ...]:
        """Base names of the videos."""
        return tuple(video.name for video in self.options.sources.videos)

    def use_colours_of(self, preset: Preset, folder: Path) -> None:
        """Show pictures through a preset's colour table, which is in its folder, or through the one of the options.

        Raises
        ------
        MediaError
            If it can't be read.
        """
        path = self.options.colours.lut or (folder / preset.lut if preset.lut else None)
        self.lut = _colour_table(path) if path else None

    @cached_property
    def footage(self) -> tuple[Footage | None, ...]:
        """The amount of motion in each video over time."""
        return footage_of(self.options.sources.videos)


@dataclass
class SongMaterial(Studio):
    """A song with model and sources: everything that stays the same while timelines change."""

    track: Track
    analysis: Analysis
    # the analysis before corrections, and the corrections
    raw: Analysis
    corrections: Corrections = NO_CORRECTIONS
    shots: SingleShots = NO_SHOTS
    bank: PromptBank | None = None
    # set to a smaller batch after memory ran out; 0: the default
    batch: int = 0
    # folders of presets, which may hold grounds
    ground_folders: list[Path] = field(default_factory=list)
    _grounds: Grounds | None = None
    _control: ControlPictures | None = None
    # encoded once for each choice of files
    _styles: dict[tuple[Path, ...], StyleBank] = field(default_factory=dict)

    def without_song(self) -> Studio:
        """Return model and sources alone, so that the song is not kept in memory."""
        return Studio(
            self.options, self.model, self.sources, self.size, self.imagined, self.device, shot_photos=self.shot_photos
        )

    def follow_shots(self, timeline: Timeline) -> bool:
        """Read the edits of single shots again if their file was saved; return whether they are others now.

        Parameters
        ----------
        timeline
            The one that they belong to.

        Raises
        ------
        ReactiveError
            If the file or one of its photographs can't be used; the old edits stay, and the error is raised once.
        """
        old = self.shots
        if old.is_current:
            return False
        self.shots = replace(old, state=file_state_of(old.path) if old.path else None)
        new = read_shots(old.path)
        new.over(timeline, self.analysis)
        if new.photos != old.photos:
            photos = (*self.options.sources.photos, *new.photos)
            self.sources = _read_sources(self.options, photos, self.imagined)
        self.shots, self.shot_photos = new, new.photos
        return new.edits != old.edits

    def imaginer(self, timeline: Timeline, black: np.ndarray | None = None) -> Imaginer:
        """Return the imaginer of a timeline; only new prompts are embedded."""
        timeline = recoloured(timeline, self.options.colours.colours)
        self.bank = PromptBank.extended(self.bank, self.model, timeline.prompts, timeline.negatives)
        shape = shape_of(self.model, *self.imagined)
        batch = self.batch or min(LIVE_BATCH.get(self.device, 4), shape.batch)
        sources = self.options.sources
        grounds = load_grounds(
            replace(timeline, framing=sources.framing_over(timeline.framing)),
            self.fed_photos,
            sources.videos,
            self.ground_folders,
            imagined=self.imagined,
            size=self.size,
            background=parse_colour(sources.background, where="--background"),
            like=self._grounds,
        )
        self._grounds = grounds or self._grounds
        # one shot plays at a time, so one lane is enough
        return Imaginer(
            self.model,
            timeline,
            self.sources,
            size=self.imagined,
            batch=batch,
            lanes=1,
            slices=shape.slices,
            bank=self.bank,
            black=black,
            lut=self.lut,
            grounds=grounds,
            styles=self._style_bank(timeline),
            control=self._control_pictures(timeline),
        )

    def _control_pictures(self, timeline: Timeline) -> ControlPictures | None:
        """Return a timeline's pictures whose shapes are kept; none if the model was loaded without control networks for them."""
        if not has_controls(timeline) or not self.model.controls.keys() >= set(networks_of(timeline)):
            return None
        sources = self.options.sources
        subjects = subject_files(timeline, self.fed_photos, sources.videos, self.ground_folders)
        files = control_files(timeline, subjects, sources.control_paths, self.ground_folders)
        self._control = ControlPictures(
            timeline,
            files,
            subjects,
            self.sources.photos,
            self.sources.videos,
            size=self.imagined,
            background=parse_colour(sources.background, where="--background"),
            like=self._control,
        )
        return self._control

    def _style_bank(self, timeline: Timeline) -> StyleBank | None:
        """Return a timeline's reference pictures; none if the model was loaded without an adapter."""
        if self.model.pictures is None:
            return None
        sources = self.options.sources
        files = style_files(timeline, sources.style_paths, self.ground_folders)
        if files and files not in self._styles:
            background = parse_colour(sources.background, where="--background")
            bank = load_styles(self.model, files, background=background)
            assert bank is not None
            self._styles = {files: bank}
        return self._styles[files] if files else None


# the same table for all timelines, so that pictures are known to be the same
_colour_table = lru_cache(16)(read_cube)


def load_material(
    song: str | os.PathLike[str], options: PreviewOptions, say: Callable[[str], None] = lambda what: None
) -> SongMaterial:
    """Analyse the song and load the model; `say` is called with a description of each step.

    Raises
    ------
    ReactiveError
        If an input can't be used.
    """
    preset = open_preset(options.preset)
    # another preset may have one whose place was given
    options = with_loras(options, preset.preset, preset.path.parent, strict=False)
    say(f"hearing {Path(song).name}")
    heard = _heard(song, options)
    return SongMaterial(**vars(load_studio(options, say, heard["shots"].photos)), **heard)


def song_material(song: str | os.PathLike[str], options: PreviewOptions, studio: Studio) -> SongMaterial:
    """Analyse another song, with a studio's model and the song's own photographs and videos.

    Raises
    ------
    ReactiveError
        If an input can't be used.
    """
    files, sources, heard = options.sources, studio.sources, _heard(song, options)
    photos = (*files.photos, *heard["shots"].photos)
    if (photos, files.videos) != (studio.fed_photos, studio.options.sources.videos):
        sources = _read_sources(options, photos, studio.imagined)
    return SongMaterial(
        options,
        studio.model,
        sources,
        studio.size,
        studio.imagined,
        studio.device,
        shot_photos=heard["shots"].photos,
        **heard,
    )


def _heard(song: str | os.PathLike[str], options: PreviewOptions) -> dict[str, Any]:
    """Return a song's track and analysis, with its saved corrections of the grid and the edits of its single shots."""
    track, raw = hear_once(song)
    corrections, analysis = saved_grid(track, raw)
    shots = read_shots(options.sources.shots, track)
    return {"track": track, "analysis": analysis, "raw": raw, "corrections": corrections, "shots": shots}


def _read_sources(options: PreviewOptions, photos: tuple[Path, ...], size: tuple[int, int]) -> Sources:
    """Return photographs and the films of the settings at the imagine-size."""
    files = options.sources
    colour = parse_colour(files.background, where="--background")
    return load_sources(photos, files.videos, size=size, background=colour, framing=files.framing)


def load_studio(
    options: PreviewOptions, say: Callable[[str], None] = lambda what: None, more_photos: tuple[Path, ...] = ()
) -> Studio:
    """Load the model, and read photographs and videos at the imagine-size; `say` is called with a description of each step.

    `more_photos` follow those of the settings.

    Raises
    ------
    ReactiveError
        If an input can't be used.
    """
    device = choose_device(options.model.device)
    torch.set_num_threads(options.compute.threads or default_threads())
    say(f"loading {options.model.title}")
    preset = open_preset(options.preset).preset
    options = with_controls(with_adapter(options, preset), preset)
    model = options.model.changed(device=device).load(plain_texts(preset))
    output, files = options.output, options.sources
    imagined = output.imagine_size or imagine_size(model.native_size, output.size or (16, 9))
    if options.draft and not output.imagine_size:
        imagined = _halved(imagined, model.vae_scale_factor)
    step = model.step
    for side in imagined:
        if side % step:
            raise OutputError(
                f"{imagined[0]}x{imagined[1]} is not in steps of {step} pixels",
                where="--imagine-size",
                remedy=f"use {imagined[0] // step * step}x{imagined[1] // step * step}",
            )
    if files.photos or files.videos or more_photos:
        say("reading photographs and videos")
    sources = _read_sources(options, (*files.photos, *more_photos), imagined)
    size = output.size or output_size(imagined)
    return Studio(options, model, sources, size, imagined, device, shot_photos=more_photos)


def _halved(size: tuple[int, int], factor: int) -> tuple[int, int]:
    """Return about half of a size, rounded so that networks with several levels can halve it again."""
    step = factor * 8
    return max(step, round(size[0] / 2 / step) * step), max(step, round(size[1] / 2 / step) * step)
