"""Pictures of every kind: detected by content, scaled by their range, over a background, at any size, deinterlaced."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, features

from reactive.errors import MediaError
from reactive.media import bands, picture, tiff
from reactive.media.bands import reduced_by_bands
from reactive.media.picture import check_picture, parse_colour, read_picture
from reactive.media.video import FilmReader, open_film
from tests.toy import save_video

RAMP = np.repeat(np.linspace(0, 1, 64)[None, :], 32, axis=0)


@pytest.mark.parametrize(("scale", "most"), [(1.0, 255), (255.0, 255), (65535.0, 255)])
def test_a_float_tiff_is_read_by_its_own_range(tmp_path: Path, scale: float, most: int) -> None:
    Image.fromarray((RAMP * scale).astype(np.float32)).save(tmp_path / "a.tif")
    shown = read_picture(tmp_path / "a.tif")
    assert np.abs(shown[..., 1] - RAMP * most).max() <= 1


def test_a_dark_picture_of_16_bits_stays_dark(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif"):
        Image.fromarray((RAMP * 240).astype(np.uint16)).save(tmp_path / name)
        assert read_picture(tmp_path / name).max() <= 1


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
@pytest.mark.parametrize("name", ["a.avif", "a.jpg", "no ending"])
def test_avif_is_read_under_any_name(tmp_path: Path, name: str) -> None:
    scene = Image.fromarray((np.repeat(RAMP[..., None], 3, axis=2) * 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    scene.save(tmp_path / name, format="AVIF", quality=95, exif=exif)
    shown = read_picture(tmp_path / name)
    assert shown.shape == (64, 32, 3)
    assert shown[-4:].mean() > shown[:4].mean() + 200


def test_heic_is_read_or_named_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "IMG_0001.jpg"
    path.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200))
    with pytest.raises(MediaError, match=r"HEIC picture|damaged"):
        read_picture(path)
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(MediaError, match="HEIC picture, which needs pillow-heif"):
        read_picture(path)


def test_heic_is_read(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    scene = Image.fromarray((np.repeat(RAMP[..., None], 3, axis=2) * 255).astype(np.uint8)).resize((128, 64))
    try:
        heif.from_pillow(scene).save(tmp_path / "a.heic", quality=95)
    except RuntimeError:
        pytest.skip("pillow-heif without an encoder")
    shown = read_picture(tmp_path / "a.heic")
    assert shown.shape == (64, 128, 3)
    assert np.abs(shown.astype(int) - np.asarray(scene)).mean() < 6


def test_transparent_areas_show_the_background(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (250, 20, 20, 0)).save(tmp_path / "clear.png")
    Image.new("RGBA", (8, 8), (200, 200, 200, 128)).save(tmp_path / "half.png")
    assert read_picture(tmp_path / "clear.png").max() == 0
    assert read_picture(tmp_path / "clear.png", background=(1, 2, 3))[0, 0].tolist() == [1, 2, 3]
    assert read_picture(tmp_path / "half.png", background=(0, 100, 0))[0, 0].astype(int) == pytest.approx(
        [100, 150, 100], abs=1
    )
    assert parse_colour("#ff8800", where="--background") == (255, 136, 0)
    with pytest.raises(MediaError, match='--background: "sky" is not a colour'):
        parse_colour("sky", where="--background")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp", "a.webp"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_a_very_large_picture_is_read_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mode: str
) -> None:
    if name in ("a.jpg", "a.webp") and mode in ("P", "1"):
        pytest.skip("no such JPEG or WebP")
    y, x = np.mgrid[0:300, 0:400]
    wide = Image.fromarray(np.where((x > 200) & (y > 150), 255, 0).astype(np.uint8)).convert("RGB").convert(mode)
    wide.save(tmp_path / name)
    monkeypatch.setattr(picture, "LARGE", 20_000)
    shown = read_picture(tmp_path / name)
    assert shown.shape[0] == 100 or (name == "a.jpg" and shown.shape[0] * shown.shape[1] <= 31_000)
    rows, columns = shown.shape[:2]
    assert shown[3 * rows // 4, 3 * columns // 4].min() > 240
    assert shown[rows // 4, columns // 4].max() < 15
    monkeypatch.setattr(picture, "MAX_PIXELS", 100_000)
    with pytest.raises(MediaError, match="400x300 pixels"):
        read_picture(tmp_path / name)


SHAPES = np.random.default_rng(0).integers(0, 255, (21, 25, 3), np.uint8).repeat(16, 0).repeat(16, 1)[:331, :397]


@pytest.mark.parametrize("step", [2, 3])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.bmp", {}),
        ("a.tif", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.tif", {"compression": "tiff_adobe_deflate"}),
        ("a.tif", {"compression": "packbits"}),
        ("a.tif", {"compression": "jpeg", "quality": 95}),
        ("a.tif", {"compression": "tiff_lzw", "tiffinfo": {317: 2}}),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK"])
@pytest.mark.parametrize("rows", [1, 8, 56, 1000])
def test_a_picture_reduced_in_bands_is_the_one_reduced_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, name: str, options: dict, mode: str, rows: int
) -> None:
    no_jpeg = options.get("compression") == "jpeg" and (mode == "RGBA" or rows == 1)
    if no_jpeg or (name == "a.bmp" and (mode == "CMYK" or rows > 1)):
        pytest.skip("no such file")
    if name == "a.tif":
        options = {**options, "tiffinfo": {**options.get("tiffinfo", {}), 278: rows}}
    Image.fromarray(SHAPES).convert(mode).save(tmp_path / name, **options)
    monkeypatch.setattr(bands, "_ROWS", 20)
    with Image.open(tmp_path / name) as image:
        small = reduced_by_bands(image, tmp_path / name, step)
    with Image.open(tmp_path / name) as image:
        whole = np.asarray(image.reduce(step)).astype(int)
    assert small is not None
    assert np.abs(np.asarray(small) - whole).max() == 0


def test_tiles_are_reduced_in_bands_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    padded = np.zeros((336, 400, 3), np.uint8)
    padded[:331, :397] = SHAPES
    parts = [padded[y : y + 48, x : x + 80].tobytes() for y in range(0, 336, 48) for x in range(0, 400, 80)]
    tags = {256: 397, 257: 331, 258: (8, 8, 8), 259: 1, 262: 2, 277: 3, 322: 80, 323: 48}
    (tmp_path / "a.tif").write_bytes(bands._small_tiff(">", tags, parts, tiled=True))
    monkeypatch.setattr(bands, "_ROWS", 20)
    with Image.open(tmp_path / "a.tif") as image:
        small = reduced_by_bands(image, tmp_path / "a.tif", 3)
        assert np.array_equal(np.asarray(image), SHAPES)
    assert np.array_equal(np.asarray(small), np.asarray(Image.fromarray(SHAPES).reduce(3)))


def test_a_picture_that_can_not_be_divided_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(SHAPES).save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={278: 331})
    monkeypatch.setattr(bands, "_LARGEST_BAND", 1000)
    monkeypatch.setattr(picture, "LARGE", 40_000)
    with Image.open(tmp_path / "a.tif") as image:
        assert reduced_by_bands(image, tmp_path / "a.tif", 2) is None
    assert read_picture(tmp_path / "a.tif").shape == (166, 199, 3)


LARGE = (16_320, 12_240)
MEASURED = """
import resource, sys
from reactive.media.picture import read_picture
picture = read_picture(sys.argv[1])
print(*picture.shape, *picture[picture.shape[0] // 2, 0].tolist(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def save_large(path: Path) -> None:
    """Save a black picture of 200 megapixels; files that are not compressed are sparse."""
    width, height = LARGE
    size = 3 * width * height
    if path.suffix == ".bmp":
        head = b"BM" + struct.pack("<IHHI", 54 + size, 0, 0, 54)
        head += struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, size, 2835, 2835, 0, 0)
    elif path.suffix == ".tif":
        tags = {256: width, 257: height, 258: 8, 259: 1, 262: 2, 273: 200, 277: 3, 278: height, 279: size}
        head = b"II*\0" + struct.pack("<IH", 8, len(tags))
        head += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()) + bytes(4)
        head = head.ljust(200, b"\0")
    else:
        deflate = zlib.compressobj(1)
        row = bytes(1 + 3 * width)
        packed = b"".join(deflate.compress(row * 120) for _ in range(height // 120)) + deflate.flush()
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
        head = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        )
    with path.open("wb") as file:
        file.write(head)
        if path.suffix != ".png":
            file.truncate(len(head) + size)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures memory in Linux's units")
@pytest.mark.parametrize("name", ["a.bmp", "a.tif", "a.png"])
def test_200_megapixels_take_less_than_a_gigabyte(tmp_path: Path, name: str) -> None:
    save_large(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / name)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    height, width, _, *black, kilobytes = map(int, done.stdout.split())
    assert (width, height) == (LARGE[0] // 2, LARGE[1] // 2)
    assert black == [0, 0, 0]
    assert kilobytes < 1_000_000


def save_clear(path: Path, codec: str, pixel_format: str, **options: str) -> Path:
    """Save a film of 12 orange pictures, transparent on the left, opaque on the right."""
    shown = np.zeros((48, 64, 4), np.uint8)
    shown[...] = (255, 133, 1, 0)
    shown[:, 32:, 3] = 255
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=12, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(shown, format="rgba").reformat(format=pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, 12)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.mkv", "ffv1", "yuva420p"),
        ("b.mov", "png", "rgba"),
        ("c.mov", "qtrle", "argb"),
    ],
)
def test_a_film_is_laid_over_the_background(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    film = open_film(save_clear(tmp_path / name, codec, pixel_format))
    over_black = FilmReader(film, width=64, height=48).picture(5).astype(int)
    assert over_black[:, :28].max() <= 6
    assert over_black[24, 56] == pytest.approx([255, 133, 1], abs=12)
    over_blue = FilmReader(film, width=32, height=24, background=(0, 0, 250)).picture(5).astype(int)
    assert over_blue[12, 4] == pytest.approx([0, 0, 250], abs=6)


def test_an_animated_webp_is_named_in_the_error(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (32, 24), (40 * number, 0, 0)) for number in range(4)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:])
    with pytest.raises(MediaError, match="animated WebP"):
        open_film(tmp_path / "a.webp")


def test_a_transparent_gif_shows_the_background(tmp_path: Path) -> None:
    pictures = []
    for number in range(6):
        shown = np.zeros((32, 48, 4), np.uint8)
        shown[8:24, 8 + 4 * number : 16 + 4 * number] = (255, 0, 0, 255)
        pictures.append(Image.fromarray(shown))
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=40, disposal=2)
    picture_of = FilmReader(open_film(tmp_path / "a.gif"), width=48, height=32).picture(3)
    assert picture_of[0, 0].max() <= 6


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_interlaced_pictures_are_deinterlaced(tmp_path: Path, codec: str) -> None:
    """A bar that moves between two fields gives comb edges in the interlaced picture; the deinterlaced one has none."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as target:
        options = {"x264-params": "tff=1", "crf": "8"} if codec == "libx264" else {"flags": "+ildct+ilme", "qmax": "2"}
        stream = target.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.gop_size = 6
        for number in range(24):
            woven = np.zeros((96, 128, 3), np.uint8)
            for field in (0, 1):
                left = 8 + 4 * (2 * number + field) // 2
                woven[field::2, left : left + 24] = 255
            frame = av.VideoFrame.from_ndarray(woven, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    film = open_film(path)
    if not film.interlaced:
        pytest.skip("the encoder did not mark its fields")
    reader = FilmReader(film, width=128, height=96)
    shown = [reader.picture(number).astype(int) for number in range(24)]
    combs = [np.abs(np.diff(one[..., 1], axis=0)).mean() for one in shown]
    assert max(combs) < 2
    again = FilmReader(film, width=128, height=96)
    for number in np.random.default_rng(0).permutation(24).tolist():
        assert np.array_equal(again.picture(number), shown[number]), number


def test_a_progressive_film_is_not_deinterlaced(tmp_path: Path) -> None:
    film = open_film(save_video(tmp_path / "a.mp4", [np.full((48, 64, 3), 9 * n, np.uint8) for n in range(12)]))
    assert not film.interlaced
    assert film.decoder == ""
    assert film.notes == ()


GREYS = np.linspace(0, 1, 192)
DEEP = [
    # TIFF's meaning of values, sample format, channels, and the value of white
    ("f2", 3, 1, 1.0),
    ("f2", 3, 3, 1.0),
    ("f2", 3, 4, 1.0),
    ("u2", 1, 2, 65535),
    ("f4", 3, 1, 1.0),
    ("f8", 3, 1, 1.0),
    ("f4", 3, 3, 1.0),
    ("f4", 3, 4, 1.0),
    ("f4", 3, 3, 255.0),
    ("u2", 1, 1, 65535),
    ("u2", 1, 3, 65535),
    ("u4", 1, 1, 65535),
    ("u4", 1, 1, 2**32 - 1),
    ("i2", 2, 1, 32767),
    ("i2", 2, 3, 32767),
    ("i1", 2, 1, 127),
    ("i4", 2, 1, 2**31 - 1),
    ("u2", 4, 1, 65535),
]


@pytest.mark.parametrize(("kind", "sample", "channels", "white"), DEEP)
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_many_bits_keeps_its_greys(
    tmp_path: Path, kind: str, sample: int, channels: int, white: float, order: str
) -> None:
    given = np.repeat(np.tile(GREYS * white, (24, 1))[..., None], channels, axis=2)
    if channels in (2, 4):
        given[..., -1] = white
    save_tiff(tmp_path / "a.tif", given.astype(kind), sample, order=order)
    shown = read_picture(tmp_path / "a.tif")
    assert shown.shape == (24, 192, 3)
    # 128 steps are as exact as they are
    assert np.abs(shown[12].astype(float) - 255 * GREYS[:, None]).max() <= (3 if kind == "i1" else 2)
    assert check_picture(tmp_path / "a.tif") == (192, 24)


@pytest.mark.parametrize("kind", ["i1", "i2", "i4"])
def test_signed_numbers_below_0_are_darker_than_those_above(tmp_path: Path, kind: str) -> None:
    least, most = np.iinfo(kind).min, np.iinfo(kind).max
    given = np.tile(np.round(least + GREYS * (float(most) - least)), (24, 1))[..., None]
    save_tiff(tmp_path / "a.tif", given.astype(kind), 2)
    assert np.abs(read_picture(tmp_path / "a.tif")[12, :, 0] - 255 * GREYS).max() <= 2


@pytest.mark.parametrize("packing", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd"])
@pytest.mark.parametrize("sample", [1, 2])
def test_a_tiff_of_16_bits_keeps_its_greys_however_it_is_packed(tmp_path: Path, packing: str, sample: int) -> None:
    white = 65535 if sample == 1 else 32767
    given = np.tile(GREYS * white, (240, 1)).astype(np.uint16)
    try:
        Image.fromarray(given).save(tmp_path / "a.tif", compression=packing, tiffinfo={339: sample})
    except (OSError, RuntimeError, KeyError):
        pytest.skip(f"Pillow without {packing}")
    shown = read_picture(tmp_path / "a.tif")
    assert shown.shape == (240, 192, 3)
    assert np.abs(shown[[0, 120, 239], :, 0].astype(float) - 255 * GREYS).max() <= 2


def test_a_signed_tiff_too_large_for_its_numbers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiff(tmp_path / "a.tif", np.zeros((24, 192, 1), np.int16), 2)
    monkeypatch.setattr(tiff, "_MAX_PIXELS", 1000)
    with pytest.raises(MediaError, match="4,608 pixels of signed integers"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_a_tiff_whose_white_is_zero_is_not_a_negative(tmp_path: Path, kind: str) -> None:
    white = 65535 if kind == "u2" else 1.0
    given = np.tile((1 - GREYS) * white, (24, 1))[..., None].astype(kind)
    save_tiff(tmp_path / "a.tif", given, 3 if kind == "f4" else 1, meaning=0)
    assert np.abs(read_picture(tmp_path / "a.tif")[12, :, 0] - 255 * GREYS).max() <= 2


def test_nan_in_a_float_tiff_affects_no_other_pixel(tmp_path: Path) -> None:
    given = np.tile(GREYS, (24, 1)).astype(np.float32)
    given[0, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(given).save(tmp_path / "a.tif")
    shown = read_picture(tmp_path / "a.tif")[..., 0]
    assert shown[0, :3].tolist() == [0, 255, 0]
    assert np.abs(shown[12] - 255 * GREYS).max() <= 2


@pytest.mark.parametrize(("kind", "sample", "white"), [("f2", 3, 1.0), ("f4", 3, 1.0), ("u2", 1, 65535)])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("way", ["planes", "differences"])
def test_planar_and_predicted_tiffs_have_the_right_colours(
    tmp_path: Path, kind: str, sample: int, white: float, order: str, way: str
) -> None:
    colours = np.stack([GREYS, GREYS / 2, 1 - GREYS], 1)
    given = (np.tile(colours, (24, 1, 1)) * white).astype(kind)
    save_tiff(tmp_path / "a.tif", given, sample, order=order, planes=way == "planes", differ=way == "differences")
    assert np.abs(read_picture(tmp_path / "a.tif")[12].astype(float) - 255 * colours).max() <= 2


def test_floats_with_an_unknown_compression_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_tiff(tmp_path / "a.tif", np.zeros((24, 192, 3), np.float16), 3, packing=50002)
    with pytest.raises(MediaError, match="TIFF of 16 bits, packed"):
        read_picture(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("packing", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_a_damaged_tiff_is_told_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], packing: str) -> None:
    Image.fromarray(SHAPES).save(tmp_path / "a.tif", compression=packing)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    for at in range(len(data) // 3, len(data) // 2, 7):
        data[at] ^= 0x55
    (tmp_path / "a.tif").write_bytes(data)

    def read(_: int) -> None:
        with pytest.raises(MediaError, match="damaged picture"):
            read_picture(tmp_path / "a.tif")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(read, range(12)))
    assert capfd.readouterr().err == ""
    # and stderr is there again
    os.write(2, b"x")
    assert capfd.readouterr().err == "x"


def save_tiff(
    path: Path,
    given: np.ndarray,
    sample: int,
    *,
    order: str = "<",
    meaning: int | None = None,
    planes: bool = False,
    differ: bool = False,
    packing: int = 1,
) -> None:
    """Write a TIFF of one strip (or one a plane) following TIFF 6.0, in variants that Pillow does not write."""
    rows, columns, channels = given.shape
    ordered = given.astype(given.dtype.newbyteorder(order))
    parts = [ordered[..., number].tobytes() for number in range(channels)] if planes else [ordered.tobytes()]
    if differ:
        packing, parts = 8, [zlib.compress(differences(given, order))]
    meaning = (1 if channels <= 2 else 2) if meaning is None else meaning
    tags = [
        (256, 4, [columns]),
        (257, 4, [rows]),
        (258, 3, [8 * given.dtype.itemsize] * channels),
        (259, 3, [packing]),
        (262, 3, [meaning]),
        (273, 4, [0] * len(parts)),
        (277, 3, [channels]),
        (278, 4, [rows]),
        (279, 4, [len(part) for part in parts]),
        (284, 3, [2 if planes else 1]),
        *([(317, 3, [3 if sample == 3 else 2])] if differ else []),
        *([(338, 3, [2])] if channels in (2, 4) else []),
        (339, 3, [sample] * channels),
    ]
    after = 8 + 2 + 12 * len(tags) + 4
    places = {tag: after + 16 * number for number, (tag, _, values) in enumerate(tags)}
    begins = after + 16 * len(tags)
    entries, extra = b"", b""
    for tag, form, values in tags:
        values = [begins + sum(map(len, parts[:at])) for at in range(len(parts))] if tag == 273 else values
        packed = struct.pack(f"{order}{len(values)}{'H' if form == 3 else 'I'}", *values).ljust(4, b"\0")
        inline = packed if len(packed) == 4 else struct.pack(f"{order}I", places[tag])
        entries += struct.pack(f"{order}HHI", tag, form, len(values)) + inline
        extra += packed.ljust(16, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    path.write_bytes(head + entries + bytes(4) + extra + b"".join(parts))


def differences(given: np.ndarray, order: str) -> bytes:
    """Apply TIFF's predictors to a picture: differences of integers, or of the bytes of floats, most significant first."""
    rows, columns, channels = given.shape
    if given.dtype.kind != "f":
        left = np.diff(given, axis=1, prepend=np.zeros((rows, 1, channels), given.dtype))
        return left.astype(given.dtype.newbyteorder(order)).tobytes()
    size = given.dtype.itemsize
    whole = np.ascontiguousarray(given.astype(given.dtype.newbyteorder(">"))).view(np.uint8)
    upper_first = np.moveaxis(whole.reshape(rows, columns * channels, size), 2, 1).reshape(rows, -1, channels)
    return np.diff(upper_first, axis=1, prepend=np.zeros((rows, 1, channels), np.uint8)).tobytes()
