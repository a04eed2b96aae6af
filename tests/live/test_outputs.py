"""Outputs: the libraries' own calls, frames in the configured size with the song's time, and failures of a single output."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import io
import sys
import threading
import types
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from reactive.cli import main
from reactive.errors import OutputError
from reactive.live.control.external_io import ExternalIOOptions
from reactive.live.outputs.feed import OutputFeed, TimedPicture, covering
from reactive.live.outputs.sink import KINDS, OutputSpec, check_available, open_sink, parse_output

FPS = Fraction(30000, 1001)


class Calls(list[tuple[str, Any]]):
    """Records the calls of a fake library in order, with their threads."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()
        self.enough = threading.Event()
        self.until = 1

    def note(self, name: str, value: Any = None) -> None:
        self.append((name, value))
        self.threads.add(threading.get_ident())
        if len(self.named("frame")) >= self.until:
            self.enough.set()

    def named(self, name: str) -> list[Any]:
        return [value for called, value in self if called == name]


def fake_cyndilib(calls: Calls) -> dict[str, types.ModuleType]:
    class VideoSendFrame:
        def set_resolution(self, xres: int, yres: int) -> None:
            calls.note("size", (xres, yres))

        def set_frame_rate(self, value: Fraction) -> None:
            calls.note("fps", value)

        def set_fourcc(self, value: Any) -> None:
            calls.note("format", value)

        def set_metadata(self, metadata: bytes) -> None:
            calls.note("metadata", metadata)

    class Sender:
        def __init__(self, ndi_name: str, clock_video: bool = True, clock_audio: bool = True) -> None:
            calls.note("name", ndi_name)
            assert not clock_video

        def set_video_frame(self, frame: VideoSendFrame) -> None:
            assert isinstance(frame, VideoSendFrame)

        def open(self) -> None:
            calls.note("open")

        def write_video(self, data: np.ndarray) -> bool:
            assert (data.dtype, data.ndim) == (np.uint8, 1)
            calls.note("frame", data.copy())
            return True

        def close(self) -> None:
            calls.note("close")

    module = types.ModuleType("cyndilib")
    module.__dict__.update(Sender=Sender, VideoSendFrame=VideoSendFrame, FourCC=types.SimpleNamespace(RGBX="RGBX"))
    return {"cyndilib": module}


def fake_pyvirtualcam(calls: Calls) -> dict[str, types.ModuleType]:
    class Camera:
        def __init__(
            self,
            width: int,
            height: int,
            fps: float,
            *,
            fmt: Any = None,
            device: str | None = None,
            backend: str | None = None,
            print_fps: bool = False,
            **kw: Any,
        ) -> None:
            calls.note("size", (width, height))
            calls.note("fps", fps)
            calls.note("name", device)

        def send(self, frame: np.ndarray) -> None:
            assert frame.flags.c_contiguous
            calls.note("frame", frame.copy())

        def close(self) -> None:
            calls.note("close")

    module = types.ModuleType("pyvirtualcam")
    module.__dict__.update(Camera=Camera, PixelFormat=types.SimpleNamespace(RGB="RGB"))
    return {"pyvirtualcam": module}


def fake_syphon(calls: Calls) -> dict[str, types.ModuleType]:
    class SyphonMetalServer:
        def __init__(self, name: str, device: Any = None, command_queue: Any = None, is_private: bool = False) -> None:
            calls.note("name", name)
            self.device = "gpu"

        def publish_frame_texture(
            self, texture: Any, region: Any = None, size: Any = None, is_flipped: bool = False
        ) -> None:
            assert is_flipped
            calls.note("frame", texture["pixels"])

        def stop(self) -> None:
            calls.note("close")

    def create_mtl_texture(device: Any, width: int, height: int) -> Any:
        assert device == "gpu"
        calls.note("size", (width, height))
        return {}

    def copy_image_to_mtl_texture(image: np.ndarray, texture: Any) -> None:
        assert image.shape[2] == 4
        texture["pixels"] = image.copy()

    names = ("syphon", "syphon.utils", "syphon.utils.numpy", "syphon.utils.raw")
    modules = {name: types.ModuleType(name) for name in names}
    modules["syphon"].__dict__["SyphonMetalServer"] = SyphonMetalServer
    modules["syphon.utils.numpy"].__dict__["copy_image_to_mtl_texture"] = copy_image_to_mtl_texture
    modules["syphon.utils.raw"].__dict__["create_mtl_texture"] = create_mtl_texture
    return modules


def fake_spout(calls: Calls) -> dict[str, types.ModuleType]:
    class SpoutSender:
        def setSenderName(self, name: str) -> None:
            calls.note("name", name)

        def sendImage(self, pixels: bytes, width: int, height: int, kind: int, invert: bool, host: int) -> bool:
            assert (len(pixels), kind, invert, host) == (width * height * 4, 0x1908, False, 0)
            calls.note("size", (width, height))
            calls.note("frame", np.frombuffer(pixels, np.uint8))
            return True

        def setFrameSync(self, name: str) -> None:
            calls.note("sync", name)

        def releaseSender(self) -> None:
            calls.note("close")

    modules = {name: types.ModuleType(name) for name in ("SpoutGL", "SpoutGL.enums")}
    modules["SpoutGL"].__dict__["SpoutSender"] = SpoutSender
    modules["SpoutGL.enums"].__dict__["GL_RGBA"] = 0x1908
    return modules


FAKES: dict[str, Callable[[Calls], dict[str, types.ModuleType]]] = {
    "ndi": fake_cyndilib,
    "camera": fake_pyvirtualcam,
    "syphon": fake_syphon,
    "spout": fake_spout,
}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Calls]:
    """A function that installs a fake library and returns the record of its calls."""

    def put(kind: str) -> Calls:
        calls = Calls()
        for name, module in FAKES[kind](calls).items():
            monkeypatch.setitem(sys.modules, name, module)
        if KINDS[kind].platform:
            monkeypatch.setattr(sys, "platform", KINDS[kind].platform)
        return calls

    return put


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (64, 36)) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, colour).save(target, "JPEG", quality=95)
    return target.getvalue()


@pytest.mark.parametrize("kind", sorted(FAKES))
def test_a_frame_reaches_the_library_in_its_own_form(kind: str, library: Callable[[str], Calls]) -> None:
    calls = library(kind)
    sink = open_sink(OutputSpec(kind, "Drums"), (6, 4), FPS)
    frame = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    sink.send(frame, 12.3456)
    sink.close()
    assert calls.named("name") == ["Drums"]
    assert set(calls.named("size")) == {(6, 4)}
    (sent,) = calls.named("frame")
    pixels = np.asarray(sent).reshape(4, 6, -1)
    assert np.array_equal(pixels[..., :3], frame)
    if pixels.shape[2] == 4:
        assert np.all(pixels[..., 3] == 255)
    assert calls[-1][0] == "close"
    if kind == "ndi":
        assert calls.named("metadata") == [b'<reactive time="12.346"/>']
        assert calls.named("fps") == [FPS]


def test_the_fakes_match_the_interface_of_the_installed_libraries() -> None:
    camera = pytest.importorskip("pyvirtualcam")
    fake = fake_pyvirtualcam(Calls())["pyvirtualcam"]
    own, real = (inspect.signature(module.Camera.__init__).parameters for module in (fake, camera))
    assert [(p.name, p.kind) for p in own.values()] == [(p.name, p.kind) for p in real.values()]
    assert {"send", "close"} <= set(dir(camera.Camera))
    assert hasattr(camera.PixelFormat, "RGB")


def test_the_real_ndi_library_takes_frames() -> None:
    pytest.importorskip("cyndilib", exc_type=ImportError)
    sink = open_sink(OutputSpec("ndi", "reactive test"), (64, 36), FPS)
    for seconds in (0.0, 0.5):
        sink.send(np.zeros((36, 64, 3), np.uint8), seconds)
    sink.close()


def test_the_feed_sends_at_the_chosen_size_with_the_songs_time(library: Callable[[str], Calls]) -> None:
    calls = library("ndi")
    red, blue = TimedPicture(jpeg((200, 0, 0)), 1.0), TimedPicture(jpeg((0, 0, 200)), 2.5)
    shown: list[TimedPicture | None] = [None]
    feed = OutputFeed([OutputSpec("ndi", "", (32, 32))], lambda: shown[0], (64, 36), Fraction(200))
    feed.open()
    for picture in (red, blue):
        before = len(calls.named("frame"))
        shown[0] = picture
        calls.enough.clear()
        calls.until = before + 3
        assert calls.enough.wait(60)
    feed.close()
    feed.close()
    frames = [frame.reshape(32, 32, 4) for frame in calls.named("frame")]
    assert calls.named("name") == ["reactive"]
    assert np.allclose(frames[-1][..., :3], (0, 0, 200), atol=6)
    assert calls.named("metadata")[-1] == b'<reactive time="2.500"/>'
    # a still picture is sent repeatedly
    assert any(np.allclose(frame[..., :3], (200, 0, 0), atol=6) for frame in frames)
    assert calls[-1][0] == "close"
    # graphics libraries must be used in the thread that opened them
    assert len(calls.threads) == 1
    assert calls.threads != {threading.get_ident()}
    assert feed.status()[0]["sent"] == len(frames)


def test_a_failed_output_is_closed_and_reported_and_the_others_continue(library: Callable[[str], Calls]) -> None:
    good, bad = library("ndi"), library("camera")

    def refuse(self: Any, frame: np.ndarray) -> None:
        raise RuntimeError("the device\nis gone")

    sys.modules["pyvirtualcam"].Camera.send = refuse
    feed = OutputFeed(
        [OutputSpec("camera"), OutputSpec("ndi")], lambda: TimedPicture(b"", 0.0) and None, (32, 18), Fraction(200)
    )
    feed.open()
    good.until = 5
    good.enough.clear()
    good.note("look")
    assert good.enough.wait(60)
    status = feed.status()
    feed.close()
    assert [one["failed"] for one in status] == ["the device is gone", None]
    assert bad.named("close") == [None]
    assert len(good.named("frame")) >= 5


def test_a_missing_device_is_one_line(library: Callable[[str], Calls]) -> None:
    library("camera")

    def refuse(self: Any, *given: Any, **named: Any) -> None:
        raise RuntimeError("no v4l2loopback device")

    sys.modules["pyvirtualcam"].Camera.__init__ = refuse
    feed = OutputFeed([OutputSpec("camera")], lambda: None, (32, 18), Fraction(24))
    with pytest.raises(OutputError, match=r"virtual camera can't be opened \(no v4l2loopback device\)"):
        feed.open()


def test_the_largest_centred_part_is_shown() -> None:
    picture = np.zeros((40, 100, 3), np.uint8)
    picture[:, 30:70] = 255
    assert np.all(covering(picture, (40, 40)) == 255)
    assert np.all(covering(picture, (80, 80)) == 255)
    assert covering(picture, (50, 20)).shape == (20, 50, 3)
    assert np.array_equal(covering(picture, (100, 40)), picture)


@pytest.mark.parametrize("text", ["window", "ndi2", "", "=name", "ndi=" + "x" * 101, "ndi=a\nb"])
def test_an_unknown_output_is_refused(text: str) -> None:
    with pytest.raises(OutputError):
        parse_output(text)


def test_names_and_systems() -> None:
    assert parse_output("ndi=Main room") == OutputSpec("ndi", "Main room")
    assert parse_output("camera", (640, 360)) == OutputSpec("camera", "", (640, 360))
    for kind, system in (("syphon", "macOS"), ("spout", "Windows")):
        if sys.platform != KINDS[kind].platform:
            with pytest.raises(OutputError, match=system):
                check_available(OutputSpec(kind))
    for kind in KINDS.values():
        assert hasattr(importlib.import_module(kind.module), kind.attribute)


def test_a_missing_library_is_reported_at_once(beat_wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    for name in ("cyndilib",):
        monkeypatch.delitem(sys.modules, name, raising=False)
    done = CliRunner().invoke(main, ["preview", str(beat_wav), "--no-open", "--output", "ndi"])
    assert done.exit_code == 1
    assert "[ndi]" in done.output
    done = CliRunner().invoke(main, ["preview", str(beat_wav), "--no-open", "--output", "window"])
    assert done.exit_code == 2
    assert "There are ndi, camera" in done.output


@pytest.fixture
def ndi(library: Callable[[str], Calls]) -> Calls:
    return library("ndi")


def test_a_preview_shows_its_pictures_to_an_output(serving: Any, ndi: Calls) -> None:
    # without a page watching the pictures are imagined for the output
    options = ExternalIOOptions(outputs=(OutputSpec("ndi", "", (96, 54)),))
    with serving(io_options=options) as (address, _):
        parts = urlsplit(address.url)
        origin = f"http://{parts.netloc}"

        async def whole() -> None:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
                await client.post(f"{origin}/login", json={"token": parts.fragment}, headers={"Origin": origin})
                async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as page:
                    await page.send_json({"t": "seek", "time": 1.0, "playing": False, "n": 1, "credit": 0})
                    async with asyncio.timeout(240):
                        while not any(np.ptp(frame.reshape(-1, 4)[:, :3]) for frame in ndi.named("frame")):
                            await asyncio.sleep(0.02)
                        while b'<reactive time="1.000"/>' not in ndi.named("metadata"):
                            await asyncio.sleep(0.02)
                        while True:
                            message = await page.receive_json()
                            if message["t"] == "status":
                                break
                    assert message["outputs"][0]["size"] == [96, 54]
                    assert message["outputs"][0]["failed"] is None

        asyncio.run(whole())
    assert ndi[-1][0] == "close"
