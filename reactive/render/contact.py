"""A contact sheet: one small picture of each shot, with its name, its time and its prompt."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from reactive.diffusion.backend.out_of_memory import in_batches_that_fit
from reactive.diffusion.backend.shapes import shape_of
from reactive.diffusion.calibration import PROMPTS
from reactive.diffusion.controls import control_files, has_controls, networks_of, subject_files
from reactive.diffusion.grounds import grounds_of
from reactive.diffusion.imaginer import open_imaginer
from reactive.diffusion.joins import prompts_at
from reactive.diffusion.models.adapter import AUTO
from reactive.diffusion.models.conditioning import texts_to_embed
from reactive.diffusion.models.load import choose_device, default_threads, load_model
from reactive.diffusion.sampling.sampling import NO_OVERRIDES
from reactive.diffusion.styles import has_styles, style_files
from reactive.errors import OutputError
from reactive.files import replacing
from reactive.media.fonts import font_for
from reactive.media.picture import read_picture
from reactive.render.loras import named_loras
from reactive.render.sizes import imagine_size, output_size
from reactive.timeline.clock import frame_time
from reactive.timeline.loras import LORAS
from reactive.timeline.shots import Shot
from reactive.timeline.timeline import Timeline
from reactive.video.lettering import Font, length_of, write_line

ACROSS, TILE, CAPTION, GAP = 6, (240, 135), 42, 6
BACKGROUND, INK, FAINT = (16, 18, 22), (235, 235, 230), (150, 155, 165)
# the share of a shot at which it is shown: its first prompt is alone there, and it has not moved far
WITHIN = 0.4


def telling_frame(shot: Shot) -> int:
    """Return the frame that stands for a shot: a fed-back one begins with the only picture that needs no other."""
    return shot.start if shot.fed_back else shot.start + int((shot.stop - 1 - shot.start) * WITHIN)


def contact_pictures(
    timeline: Timeline,
    shots: Sequence[Shot],
    *,
    model: str,
    photos: Sequence[Path] = (),
    videos: Sequence[Path] = (),
    folders: Sequence[Path] = (),
    steps: int | None = None,
    loras: Sequence[str] = (),
    vae: str | None = None,
    adapter: str | None = None,
    styles: Sequence[Path] = (),
    control_models: Sequence[str] = (),
    controls: Sequence[Path] = (),
    quant: str | None = None,
    overrides: Mapping[str, str] = NO_OVERRIDES,
    device: str = "auto",
    threads: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[int, np.ndarray]:
    """Imagine one picture of each shot, by itself; return them by the shots' numbers, uint8 [height, width, 3].

    Parameters
    ----------
    photos, videos
        The files that the timeline names, in its order.
    folders
        Folders of presets that have grounds, reference pictures and LoRAs beside them.
    styles
        Reference pictures that are elsewhere.
    control_models
        Control networks, as `ModelSpec` has them; the usual ones where none is named.
    controls
        Pictures whose shapes are kept that are elsewhere.
    model, loras, vae, adapter, quant, steps, overrides, device
        As `load_model` has them.

    Raises
    ------
    ReactiveError
        If the model or a file can't be used, or memory does not hold a single picture.
    """
    report = progress or (lambda stage, done, total: None)
    place = choose_device(device)
    torch.set_num_threads(threads or default_threads())
    if has_styles(timeline):
        adapter = adapter or AUTO
    told = {text.partition("=")[0] for text in control_models}
    wanted = dict.fromkeys(networks_of(timeline)) if has_controls(timeline) else {}
    networks = [*control_models, *(kind for kind in wanted if kind not in told)]
    used = [name for name, column in zip(timeline.loras, LORAS, strict=False) if timeline.columns[column].any()]
    loras = named_loras(used, loras, folders)
    frames = np.array([telling_frame(shot) for shot in shots])
    texts = texts_to_embed(timeline.prompts, timeline.negatives, prompts_at(timeline.columns, frames))
    loaded = load_model(
        model,
        device=place,
        steps=steps,
        loras=loras,
        vae=vae,
        adapter=adapter,
        controls=networks,
        quant=quant,
        overrides=overrides,
        # the walk may have to be measured
        prompts=(*texts, *PROMPTS),
    )
    size = imagine_size(loaded.native_size, (16, 9))
    by_frame = {int(frame): shot.number for frame, shot in zip(frames, shots, strict=True)}
    shape = shape_of(loaded, *size)
    shown = set(timeline.columns["source"][frames].tolist())
    grounds = grounds_of(timeline, photos, videos, folders)
    files = style_files(timeline, styles, folders)
    shapes = (
        control_files(timeline, subject_files(timeline, photos, videos, folders), controls, folders) if wanted else ()
    )

    def imagined(batch: int) -> dict[int, np.ndarray]:
        pictures: dict[int, np.ndarray] = {}
        with open_imaginer(
            loaded,
            timeline,
            photos,
            videos,
            size=size,
            grounds=grounds,
            composed=output_size(size),
            styles=files,
            controls=shapes,
            folders=folders,
            only=shown,
            batch=batch,
            slices=shape.slices,
            prompts=prompts_at(timeline.columns, frames),
        ) as imaginer:
            # a fed-back shot's first picture has no source either
            for chosen, finished in imaginer.independent(frames):
                for frame, picture in zip(chosen.tolist(), finished.permute(0, 2, 3, 1).cpu().numpy(), strict=True):
                    pictures[by_frame[frame]] = picture
                report("imagining", len(pictures), len(frames))
        return pictures

    return in_batches_that_fit(imagined, min(shape.batch, len(frames)), loaded)


def check_sheet(path: Path) -> None:
    """Check that a sheet's name says what kind of picture it is.

    Raises
    ------
    OutputError
        If it does not end in .jpg, .jpeg, .png or .webp.
    """
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp"):
        raise OutputError("is no picture's name", where=str(path), remedy="end it in .jpg, .png or .webp")


def draw_sheet(
    path: Path, timeline: Timeline, shots: Sequence[Shot], pictures: Mapping[int, np.ndarray], marks: Mapping[str, str]
) -> None:
    """Write a contact sheet of all shots; shots without a picture keep the one that the sheet has already.

    Parameters
    ----------
    path
        A JPEG, PNG or WebP.
    marks
        A word for shots that are special (rolled, locked), by name.

    Raises
    ------
    OutputError
        If it can't be written, or its name has another ending.
    """
    check_sheet(path)
    rows = math.ceil(len(shots) / ACROSS)
    size = (ACROSS * (TILE[0] + GAP) + GAP, rows * (TILE[1] + CAPTION + GAP) + GAP)
    sheet = Image.new("RGB", size, BACKGROUND)
    if len(pictures) < len(shots) and path.is_file():
        # only some shots were imagined anew: the others stay as they were
        before = read_picture(path)
        if before.shape[:2] == size[::-1]:
            sheet.paste(Image.fromarray(before))
    for place, shot in enumerate(shots):
        left = GAP + place % ACROSS * (TILE[0] + GAP)
        top = GAP + place // ACROSS * (TILE[1] + CAPTION + GAP)
        if shot.number in pictures:
            sheet.paste(_tile(pictures[shot.number]), (left, top))
        _caption(sheet, (left, top + TILE[1]), shot, timeline, marks.get(shot.name, ""))
    _save(sheet, path)


def _tile(picture: np.ndarray) -> Image.Image:
    height, width = picture.shape[:2]
    shown = min(height, round(width * TILE[1] / TILE[0]))
    top = (height - shown) // 2
    return Image.fromarray(picture[top : top + shown]).resize(TILE, Image.Resampling.LANCZOS)


def _caption(sheet: Image.Image, corner: tuple[int, int], shot: Shot, timeline: Timeline, mark: str) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((*corner, corner[0] + TILE[0], corner[1] + CAPTION), fill=BACKGROUND)
    seconds = float(frame_time(shot.start, timeline.fps))
    head = f"{shot.name}  {int(seconds) // 60}:{seconds % 60:04.1f}" + (f"  {mark}" if mark else "")
    for text, down, ink in ((head, 3, INK), (shot.prompts[0], 20, FAINT)):
        font = ImageFont.truetype(str(font_for(text)), 11)
        write_line(draw, (corner[0], corner[1] + down), _fitting(text, font), font, fill=ink)


def _fitting(text: str, font: Font) -> str:
    while text and length_of(text, font) > TILE[0]:
        text = text[:-1]
    return text


def _save(sheet: Image.Image, path: Path) -> None:
    try:
        with replacing(path) as partial:
            sheet.save(partial, format=Image.registered_extensions()[path.suffix.lower()], quality=90)
    except OSError as problem:
        raise OutputError(
            f"can't be written ({problem.strerror})", where=str(path), remedy="choose another place with -o"
        ) from None
