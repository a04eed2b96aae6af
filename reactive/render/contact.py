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
from reactive.diffusion.core import Core, from_bytes
from reactive.diffusion.frames import frame_request, scene_inputs
from reactive.diffusion.grade import coloured
from reactive.diffusion.joins import prompts_at
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import choose_device, default_threads, load_model
from reactive.diffusion.motion.lens import through_lens
from reactive.errors import OutputError
from reactive.files import replacing
from reactive.media.picture import read_picture
from reactive.render.sizes import imagine_size
from reactive.sources.photo import load_photo
from reactive.sources.video import VideoSource
from reactive.timeline.clock import frame_time
from reactive.timeline.shots import Shot
from reactive.timeline.timeline import Timeline
from reactive.video.fonts import font_for

ACROSS, TILE, CAPTION, GAP = 6, (240, 135), 42, 6
BACKGROUND, INK, FAINT = (16, 18, 22), (235, 235, 230), (150, 155, 165)
# a shot is shown where its first prompt stands alone, yet before it has moved far
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
    steps: int | None = None,
    device: str = "auto",
    threads: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[int, np.ndarray]:
    """Imagine one picture of each shot, by itself; return them by the shots' numbers, uint8 [height, width, 3].

    Parameters
    ----------
    photos, videos
        The files that the timeline names, in its order.

    Raises
    ------
    ReactiveError
        If the model or a file can't be used, or memory does not hold a single picture.
    """
    report = progress or (lambda stage, done, total: None)
    place = choose_device(device)
    torch.set_num_threads(threads or default_threads())
    loaded = load_model(model, device=place, steps=steps)
    width, height = imagine_size(loaded.native_size, (16, 9))
    frames = np.array([telling_frame(shot) for shot in shots])
    columns = timeline.columns
    bank = PromptBank(loaded, timeline.prompts, prompts_at(columns, frames), timeline.negatives)
    shape = shape_of(loaded, width, height)
    shown = {number for number in columns["source"][frames].tolist() if number >= 0}
    given = {
        number: from_bytes(torch.from_numpy(load_photo(path, width=width, height=height).copy()).permute(2, 0, 1))
        for number, path in enumerate(photos)
        if number in shown
    }
    films = {
        number: VideoSource(path, width=width, height=height)
        for number, path in enumerate(videos, len(photos))
        if number in shown
    }

    def imagined(batch: int) -> dict[int, np.ndarray]:
        core = Core(loaded, bank, batch=batch, width=width, height=height, slices=shape.slices)
        scene = scene_inputs(timeline, core, given, films)
        pictures: dict[int, np.ndarray] = {}
        for first in range(0, len(frames), batch):
            chosen = frames[first : first + batch]
            # a fed-back shot's first picture has no source either
            requests = [frame_request(scene, frame, core.noises_per_picture) for frame in chosen.tolist()]
            seen = through_lens(core.imagine(requests), columns, chosen)
            seen = coloured(seen, columns, timeline.palettes, chosen)
            finished = seen.permute(0, 2, 3, 1).cpu().numpy()
            for shot, picture in zip(shots[first : first + batch], finished, strict=True):
                pictures[shot.number] = picture
            report("imagining", len(pictures), len(frames))
        return pictures

    try:
        return in_batches_that_fit(imagined, min(shape.batch, len(frames)), loaded)
    finally:
        for film in films.values():
            film.close()


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
    """Write a contact sheet of all shots; those without a picture keep the one that the sheet has already.

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
        draw.text((corner[0], corner[1] + down), _fitting(text, font), fill=ink, font=font)


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    while text and font.getlength(text) > TILE[0]:
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
