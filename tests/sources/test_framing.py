"""How photographs fill the frame: whole, cropped about a place, and around people."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from reactive.cli import main
from reactive.diffusion.compose import Terms, ground_map
from reactive.errors import TimelineError
from reactive.render.settings import Settings
from reactive.sources.ground import GroundFile, load_ground
from reactive.sources.photo import crop_of, load_photo
from reactive.timeline.file import load_timeline, save_timeline
from reactive.timeline.framing import Framing, split_focus
from reactive.timeline.timeline import Timeline

PORTRAIT, LANDSCAPE = (300, 600), (600, 300)


def ramp(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Write a picture whose colour tells its place, and return it."""
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    picture = np.stack([across * 255 // (size[0] - 1), down * 255 // (size[1] - 1), np.full_like(across, 60)], axis=2)
    Image.fromarray(picture.astype(np.uint8)).save(path)
    return picture.astype(np.uint8)


def person(path: Path, size: tuple[int, int], head: tuple[float, float]) -> tuple[int, int, int, int]:
    """Write a picture of a plain head with dark hair over busy clothes; return left, top, right and bottom of head and hair."""
    random = np.random.default_rng(3)
    base = np.full((size[1], size[0], 3), (90, 120, 150), np.uint8)
    x, y, reach = round(head[0] * size[0]), round(head[1] * size[1]), round(0.07 * max(size))
    clothes = random.integers(0, 255, (size[1], size[0], 3), np.uint8)
    body = slice(min(y + 2 * reach, size[1] - 1), size[1]), slice(max(x - 2 * reach, 0), x + 2 * reach)
    base[body] = clothes[body]
    image = Image.fromarray(base)
    draw = ImageDraw.Draw(image)
    draw.ellipse((x - reach, y - round(1.5 * reach), x + reach, y + round(0.4 * reach)), fill=(40, 30, 25))
    draw.ellipse((x - reach, y - reach, x + reach, y + round(1.3 * reach)), fill=(205, 150, 120))
    image.save(path)
    return x - reach, y - round(1.5 * reach), x + reach, y + round(1.3 * reach)


@pytest.mark.parametrize(("size", "frame"), [(PORTRAIT, (160, 90)), (LANDSCAPE, (90, 160))])
def test_a_whole_photograph_lies_in_the_middle(tmp_path: Path, size: tuple[int, int], frame: tuple[int, int]) -> None:
    ramp(tmp_path / "a.png", size)
    width, height = frame
    shown = load_photo(tmp_path / "a.png", width=width, height=height, fit="contain", background=(9, 200, 9))
    scale = min(width / size[0], height / size[1])
    across, down = round(size[0] * scale), round(size[1] * scale)
    left, top = (width - across) // 2, (height - down) // 2
    inside = shown[top : top + down, left : left + across].astype(int)
    bars = np.ones(shown.shape[:2], bool)
    bars[top : top + down, left : left + across] = False
    assert (shown[bars] == (9, 200, 9)).all()
    # all of it is there, undistorted: colours tell places
    assert inside[:, 0, 0].max() < 12
    assert inside[:, -1, 0].min() > 243
    assert inside[0, :, 1].max() < 12
    assert inside[-1, :, 1].min() > 243
    blurred = load_photo(tmp_path / "a.png", width=width, height=height, fit="blur")
    assert np.array_equal(
        blurred[top : top + down, left : left + across], shown[top : top + down, left : left + across]
    )
    assert blurred[bars].std() > 3
    ground = load_ground(GroundFile(tmp_path / "a.png", own=True, fit="contain"), width=width, height=height, room=2)
    assert ground.exact.shape[:2] == (height, width)
    assert ground.larger.shape[:2] == (2 * height, 2 * width)
    assert np.array_equal(ground.exact[~bars], shown[~bars])


@pytest.mark.parametrize(("size", "aspect"), [(PORTRAIT, 16 / 9), (LANDSCAPE, 9 / 16), (LANDSCAPE, 2.0)])
@pytest.mark.parametrize("focus", [(0.5, 0.2), (0.0, 1.0), (0.9, 0.5)])
def test_a_crop_is_as_near_to_its_focus_as_it_can_be(
    tmp_path: Path, size: tuple[int, int], aspect: float, focus: tuple[float, float]
) -> None:
    picture = ramp(tmp_path / "a.png", size)
    left, top, across, down = crop_of(picture, aspect, focus)
    assert abs(across / down - aspect) < 0.02
    assert across == size[0] or down == size[1]
    for place, length, begin, side in zip(focus, size, (left, top), (across, down), strict=True):
        wanted = place * length - side / 2
        assert begin == pytest.approx(min(max(wanted, 0), length - side), abs=1)


@pytest.mark.parametrize("head", [0.16, 0.3, 0.5])
@pytest.mark.parametrize("size", [PORTRAIT, (480, 600)])
def test_heads_stay_in_a_wide_picture(tmp_path: Path, head: float, size: tuple[int, int]) -> None:
    left, top, right, bottom = person(tmp_path / "a.png", size, (0.5, head))
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    x, y, across, down = crop_of(picture, 16 / 9, None)
    assert x <= left
    assert right <= x + across
    assert y <= max(top, 0)
    assert bottom <= y + down


@pytest.mark.parametrize("head", [0.2, 0.75])
def test_heads_stay_in_a_tall_picture(tmp_path: Path, head: float) -> None:
    left, top, right, bottom = person(tmp_path / "a.png", (640, 360), (head, 0.4))
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    x, y, across, down = crop_of(picture, 9 / 16, None)
    assert x <= left
    assert right <= x + across
    assert y <= top
    assert bottom <= y + down


def test_coming_closer_ends_on_the_focus_and_never_shows_an_edge() -> None:
    focus = (0.6, -0.8)
    for zoom in np.linspace(1, 6, 60):
        map_ = ground_map(Terms(zoom=float(zoom)), focus, aimed=True)
        corners = np.array([[x, y, 1.0] for x in (-1, 1) for y in (-1, 1)]) @ map_.T
        assert (np.abs(corners[:, :2]) <= 1 + 1e-9).all()
    centre = map_ @ (0, 0, 1.0)
    assert math.dist(centre[:2], focus) < 0.2
    # as it is, all of it is in the frame
    whole = ground_map(Terms(zoom=1.0), focus, aimed=True)
    np.testing.assert_allclose(whole, np.eye(3))


def test_a_focus_is_written_behind_the_file() -> None:
    assert split_focus("pictures/band.jpg@0.5,0.2") == ("pictures/band.jpg", (0.5, 0.2))
    assert split_focus("b@nd.jpg@1,.5") == ("b@nd.jpg", (1.0, 0.5))
    for text in ("band.jpg", "band.jpg@2,0.5", "band.jpg@0.5", "me@home.jpg"):
        assert split_focus(text) == (text, None)
    assert Framing("blur", {"a.jpg": (0.5, 0.2)}).named("a.jpg") == " fit blur focus 0.5,0.2"
    assert Framing().named("a.jpg") == ""


def test_a_recipe_keeps_fit_and_focus() -> None:
    settings = Settings.of(photos=("band.jpg",), fit="blur", focus=("band.jpg@0.5,0.2",))
    again = Settings.from_data(settings.to_data())
    assert again.sources.framing == Framing("blur", {"band.jpg": (0.5, 0.2)})
    assert Settings().sources.framing_over(Framing("contain")) == Framing("contain")


def test_a_timelines_file_keeps_them(tmp_path: Path, beat_timeline: Timeline) -> None:
    framing = Framing("contain", {"band.jpg": (0.5, 0.2)})
    save_timeline(replace(beat_timeline, framing=framing), tmp_path / "t.json")
    assert load_timeline(tmp_path / "t.json").framing == framing
    text = (tmp_path / "t.json").read_text()
    for wrong in ('"fit": "stretch"', '"focus": {"a": [0.5, 2]}', '"focus": [1]'):
        key = wrong.split(":")[0]
        lines = [f"  {wrong}," if line.strip().startswith(key) else line for line in text.splitlines()]
        (tmp_path / "w.json").write_text("\n".join(lines))
        with pytest.raises(TimelineError):
            load_timeline(tmp_path / "w.json")


def test_the_command_line_names_a_focus(
    tmp_path: Path, beat_wav: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ramp(tmp_path / "a.png", PORTRAIT)
    run = [
        "run",
        str(beat_wav),
        "-p",
        "double-exposure",
        "--model",
        str(toy_model),
        "--steps",
        "1",
        "--fps",
        "4",
        "--duration",
        "1",
    ]
    done = CliRunner().invoke(main, [*run, "--photo", "a.png@0.5,0.1", "--fit", "blur", "-o", "clip.mp4"])
    assert done.exit_code == 0, done.output
    assert CliRunner().invoke(main, [*run, "--photo", "a.png@0.5,9", "-o", "b.mp4"]).exit_code == 1
    again = CliRunner().invoke(
        main,
        [
            "run",
            str(beat_wav),
            "--recipe",
            "clip.mp4",
            "--model",
            str(toy_model),
            "--photo",
            "a.png",
            "-o",
            "again.mp4",
        ],
    )
    assert "Made again." in again.output
