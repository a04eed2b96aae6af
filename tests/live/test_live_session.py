"""A live input: decisions depend only on past sound, and pictures follow the decisions."""

from __future__ import annotations

import asyncio
import io
import itertools
import queue
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import pytest
import torch
from PIL import Image

from reactive.diffusion.imaginer import Imaginer
from reactive.diffusion.lanes import FeedbackRange
from reactive.diffusion.scene import Sources
from reactive.errors import MediaError, PresetError, ReactiveError, TimelineError
from reactive.live.conductor import Conductor, LiveFrame
from reactive.live.control.announce import LiveCues
from reactive.live.control.microphone import Microphone, chosen_input, paced, put_newest
from reactive.live.latest_frame import LatestFrameRenderer
from reactive.live.live_session import LiveSession, SoundInput
from reactive.live.material import PreviewOptions, Studio, load_studio
from reactive.live.online_analysis import LiveSignals
from reactive.live.web.protocol import unpack_picture
from reactive.preset.schema import Source, load_preset
from reactive.timeline.perform import Change
from reactive.timeline.timeline import FEEDBACK
from tests.live.streams import RATE, beat_stream, blocks

FPS = Fraction(24)
PRESET = """
version = 2
title = "Jam"
walk = "0.2 + macro.push + decay(kick, 0.2)"
[[macro]]
name = "push"
default = 0.0
[lens]
zoom = "1 + 0.2 * decay(kick, 0.15)"
rotate = "lfo(1) + wander(2) + smooth(loudness, 0.3) + 0 * (build + swell(drop, 1) + song.progress)"
[[phase]]
name = "one"
fits = "0.5"
bars = [2, 2]
prompts = ["a sea", "a tree", "a {red|blue} door"]
[phase.switch]
every = "2 beats"
how = "cut"
[[phase]]
name = "two"
bars = [1, 3]
mode = "feedback"
strength = "0.5"
prompts = ["fire", "smoke"]
[[phase]]
name = "three"
bars = [1, 1]
prompts = ["snow"]
[phase.switch]
how = "slerp"
"""


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jam") / "preset.toml"
    path.write_text(PRESET)
    return path


def conduct(
    preset: Path, sound: np.ndarray, *, changes: dict[int, Change] | None = None, size: int = 512
) -> list[LiveFrame]:
    signals = LiveSignals(RATE, FPS)
    conductor = Conductor({"p": load_preset(preset)}, signals, seed=3)
    rows = []
    for block in blocks(sound, size):
        for frame in signals.steps(block):
            if changes and frame in changes:
                conductor.change(changes[frame])
            rows.append(conductor.step(frame))
    return rows


@pytest.fixture(scope="module")
def rows(preset: Path) -> list[LiveFrame]:
    return conduct(preset, beat_stream(16)[0])


def test_frames_come_at_their_rate_and_numbers_are_finite(rows: list[LiveFrame]) -> None:
    assert [row.frame for row in rows] == list(range(len(rows)))
    assert len(rows) == pytest.approx(16 * 24, abs=3)
    assert all(np.isfinite(value) for row in rows for value in row.columns.values())
    assert all(b.columns["walk"] > a.columns["walk"] for a, b in itertools.pairwise(rows))


def test_the_lens_zooms_in_after_a_kick_and_returns_before_the_next(rows: list[LiveFrame]) -> None:
    zoom = np.array([row.columns["lens_zoom"] for row in rows])
    kicks = beat_stream(16)[1]
    kicks = kicks[(kicks > 4) & (kicks < 14)]
    # within two and a half frames of the sound
    after = [zoom[int(t * 24) : int(t * 24) + 4].max() for t in kicks]
    before = [zoom[int(t * 24) - 2] for t in kicks]
    assert np.median(after) > 1.1
    assert np.median(before) < 1.03


def test_phases_change_on_bars_and_cuts_lie_on_beats(rows: list[LiveFrame]) -> None:
    phases = [(row.frame, row.phase) for a, row in itertools.pairwise(rows) if row.phase != a.phase]
    assert [phase for _, phase in phases][:3] == [1, 2, 0]
    # 2 bars of 2 s, up to 3, 1
    times = np.array([frame / 24 for frame, _ in phases])
    kicks = beat_stream(16)[1]
    late = times[times > 4]
    assert np.abs(late[:, None] - kicks[None]).min(axis=1).max() < 0.1
    cuts = [b.frame / 24 for a, b in itertools.pairwise(rows) if b.prompts[1] != a.prompts[1] and b.phase == 0]
    assert cuts
    assert np.abs(np.array(cuts)[:, None] - kicks[None]).min(axis=1).max() < 0.1 or max(cuts) < 4
    texts = {row.prompts[1] for row in rows if row.phase == 0}
    assert len(texts) >= 2
    assert all(b.shot > a.shot for a, b in itertools.pairwise(rows) if b.phase == 1 and a.phase != 1)


def test_decisions_do_not_depend_on_later_sound(preset: Path, rows: list[LiveFrame]) -> None:
    sound = beat_stream(16)[0]
    sound[6 * RATE :] = np.random.default_rng(2).uniform(-1, 1, len(sound) - 6 * RATE)
    other = conduct(preset, sound[: 8 * RATE], size=777)
    same = int(5.9 * 24)
    for a, b in zip(rows[:same], other[:same], strict=True):
        assert a.prompts == b.prompts
        assert (a.phase, a.shot, a.seed) == (b.phase, b.shot, b.seed)
        assert {n: pytest.approx(v, abs=2e-3) for n, v in a.columns.items()} == b.columns
    assert rows[7 * 24].columns != other[7 * 24].columns


def test_changes_hold_from_their_frame_on(preset: Path, rows: list[LiveFrame]) -> None:
    sound = beat_stream(8)[0]
    changes = {
        24: Change(0, "control", "macro.push", 1.0),
        48: Change(0, "phase", value=2),
        72: Change(0, "freeze", value=1),
        96: Change(0, "freeze", value=0),
        100: Change(0, "black", value=1),
        110: Change(0, "control", "walk", 0.0),
        120: Change(0, "prompt", "snow", text="a blue house"),
    }
    moved = conduct(preset, sound, changes=changes)
    assert moved[23].columns == rows[23].columns
    assert (
        moved[40].columns["walk"] - moved[30].columns["walk"]
        > rows[40].columns["walk"] - rows[30].columns["walk"] + 0.3
    )
    assert moved[47].phase != 2
    assert moved[48].phase == 2
    assert moved[72].columns["walk"] == moved[95].columns["walk"] < moved[97].columns["walk"]
    assert not moved[99].black
    assert moved[100].black
    assert moved[111].columns["walk"] == moved[130].columns["walk"]
    assert all("snow" not in row.prompts for row in moved[120:])


@pytest.mark.parametrize("order", ["sequence", "shuffle"])
def test_photographs_change_within_a_phase_as_in_the_preset(preset: Path, order: str) -> None:
    conductor = Conductor({"p": load_preset(preset)}, LiveSignals(RATE, FPS), seed=3, photos=3)
    source = Source.model_validate({"every": "2 beats", "order": order})
    phase = conductor.preset.phase[0].model_copy(update={"mode": "photo", "source": source})
    conductor._sources = 1
    seen = []
    for beat in range(12):
        conductor._began_beats = conductor.signals.beats - beat
        seen.append(conductor._source(phase))
    assert seen[::2] == seen[1::2]
    # each is shown once before any is repeated
    assert sorted(seen[:6:2]) == sorted(seen[6::2]) == [0, 1, 2]
    assert order == "shuffle" or seen[::2] == [0, 1, 2, 0, 1, 2]
    still = phase.model_copy(update={"source": Source()})
    assert len({conductor._source(still) for conductor._began_beats in range(-8, 1)}) == 1


def test_invalid_changes_are_refused_in_one_line(preset: Path) -> None:
    conductor = Conductor({"p": load_preset(preset)}, LiveSignals(RATE, FPS))
    for change in (
        Change(0, "phase", value=9),
        Change(0, "preset", "q"),
        Change(0, "control", "door", 1),
        Change(0, "control", "macro.no", 1),
        Change(0, "control", "macro.push", 2),
        Change(0, "nothing"),
    ):
        with pytest.raises(ReactiveError):
            conductor.change(change)


def test_silence_uses_no_feedback_and_every_bundled_preset_can_be_played() -> None:
    from reactive.preset.library import find_preset, shipped_names

    sound = np.concatenate([beat_stream(1)[0], np.zeros(3 * RATE, np.float32)])
    for name in shipped_names():
        # only one preset needs the silence; a moment of sound suffices for the others
        rows = conduct(find_preset(name), sound if name == "forge" else sound[:RATE])
        assert rows
        if name == "forge":
            assert rows[-1].columns["source"] == -1
            assert rows[-1].columns["strength"] == 1.0


@pytest.fixture(scope="module")
def toy_studio(toy_model: Path, preset: Path) -> Studio:
    return load_studio(PreviewOptions.of(preset=str(preset), model=str(toy_model), steps=1, threads=1, fps=FPS))


def test_pictures_follow_the_rows(toy_studio: Studio, rows: list[LiveFrame]) -> None:
    renderer = LatestFrameRenderer(toy_studio, lambda: None)
    one = imagined(renderer, rows[10])
    assert tuple(one.shape) == (3, toy_studio.imagined[1], toy_studio.imagined[0])
    assert (imagined(renderer, rows[10]) == one).all()
    assert (imagined(renderer, rows[40]) != one).any()
    fed = [row for row in rows if row.phase == 1][:12]
    # the lens moves every frame, so only the fed-back pictures are compared
    still = [replace(row, columns=row.columns | {"lens_zoom": 1.0, "lens_rotate": 0.0}) for row in fed]
    first, *rest = [imagined(renderer, row) for row in still]
    # 12 ticks a second at 24 frames: every second picture is the last one moved, and this camera is still
    assert (rest[0] == first).all()
    assert all((b != a).any() for a, b in itertools.pairwise([first, *rest[1::2]]))
    assert renderer._feedback is not None
    assert 5 <= len(renderer._feedback.shot.lane.ticks) <= 7
    renderer.hear(rows[10])
    assert Image.open(io.BytesIO(renderer._finished(rows[10]) or b"")).size == toy_studio.imagined


def imagined(renderer: LatestFrameRenderer, row: LiveFrame) -> torch.Tensor:
    """Return the renderer's picture of a frame that was just analysed."""
    renderer.hear(row)
    return renderer.imagine(row)


def fed_back(count: int, **columns: float) -> list[LiveFrame]:
    """Return frames of one feedback shot with a tick every second frame; the columns rise evenly."""
    rest = {"strength": 0.5, "source": float(FEEDBACK), "lens_zoom": 1.0, "guide": -1.0}
    return [
        LiveFrame(
            frame,
            Fraction(frame, 24),
            rest | {name: by * frame for name, by in columns.items()},
            ("a sea", "a sea", "a hill"),
            ("", "", ""),
            False,
            5,
            1,
            0,
            0.5,
            12.0,
        )
        for frame in range(count)
    ]


def test_a_stream_has_the_ticks_of_the_clip(toy_studio: Studio) -> None:
    # a live input feeds back like `reactive run`, including camera and colours
    rows = [replace(row, colour=0.5) for row in fed_back(9, camera_zoom=0.01, camera_rotate=0.5, walk=0.05)]
    renderer = LatestFrameRenderer(toy_studio, lambda: None)
    stream = [imagined(renderer, row) for row in rows]
    timeline = replace(renderer._stream.timeline(), feedback_rate=Fraction(12))
    clip = Imaginer(toy_studio.model, timeline, size=toy_studio.imagined, batch=1)
    frames: dict[int, torch.Tensor] = {}
    for numbers, pictures in clip.feedback([FeedbackRange(0, 9, 0, 9)]):
        frames |= zip(numbers.tolist(), pictures, strict=True)
    assert all(torch.equal(stream[frame], frames[frame]) for frame in range(0, 9, 2))
    # between two ticks the stream does not know the next one yet
    assert all((stream[frame] != stream[frame - 1]).any() for frame in range(1, 9))
    plain = LatestFrameRenderer(toy_studio, lambda: None)
    assert (imagined_all(plain, fed_back(9, camera_zoom=0.01, camera_rotate=0.5, walk=0.05))[-1] != stream[-1]).any()


def imagined_all(renderer: LatestFrameRenderer, rows: list[LiveFrame]) -> list[torch.Tensor]:
    return [imagined(renderer, row) for row in rows]


def test_a_videos_motion_moves_a_live_inputs_feedback(toy_studio: Studio) -> None:
    width, height = toy_studio.imagined
    noise = np.random.default_rng(0).integers(0, 255, (height // 8, width // 4, 3), np.uint8)
    wide = np.kron(noise, np.ones((8, 8, 1), np.uint8))[:height]

    class Drift:
        def at(self, seconds: Fraction) -> np.ndarray:
            return self.picture(self.number_at(seconds))

        def number_at(self, seconds: Fraction) -> int:
            return int(seconds * 24)

        def picture(self, number: int) -> np.ndarray:
            return np.ascontiguousarray(wide[:, 4 * number : 4 * number + width])

        def close(self) -> None:
            pass

    stage = replace(
        toy_studio, sources=Sources({}, {0: Drift()}), options=toy_studio.options.changed(videos=(Path("d"),))
    )
    rows = fed_back(4)
    carried = [replace(row, columns=row.columns | {"guide": 0.0, "camera_flow": 1.0}) for row in rows]
    still, moved = (imagined_all(LatestFrameRenderer(stage, lambda: None), some) for some in (rows, carried))
    assert torch.equal(still[0], moved[0])
    # a frame between two ticks is the last tick moved: its content has gone left by the film's four pixels
    assert torch.equal(still[1], still[0])
    ahead, behind = moved[1][:, :, : width // 2].float(), moved[0].float()
    left, right = ((ahead - behind[:, :, shift : shift + width // 2]).abs().mean() for shift in (4, 0))
    assert left < right


JOINED = PRESET.replace('how = "cut"', 'how = "cut"\njoin = "{kind}"\njoin_over = "1 beat"')


@pytest.mark.parametrize("kind", ["dissolve", "morph"])
def test_a_join_begins_on_its_cut_and_ends_after_it(
    kind: str, toy_studio: Studio, tmp_path: Path, rows: list[LiveFrame]
) -> None:
    file = tmp_path / "joined.toml"
    file.write_text(JOINED.replace("{kind}", kind))
    joined = conduct(file, beat_stream(8)[0])
    cuts = [b.frame for a, b in itertools.pairwise(rows[: len(joined)]) if b.phase == a.phase == 0 and b.shot != a.shot]
    first = next(cut for cut in cuts if joined[cut].arriving is not None)
    length = next(n for n in itertools.count() if joined[first + n].arriving is None)
    # half a second a beat
    assert 8 <= length <= 16
    weights = [joined[first + n].columns[kind] for n in range(length)]
    assert weights == sorted(weights)
    assert 0 < weights[0] < 0.1
    assert weights[-1] > 0.9
    during = joined[first : first + length]
    # the outgoing picture stays visible, and the incoming one is that of the frames after the join
    assert {row.shot for row in during} == {joined[first - 1].shot}
    assert {row.seed for row in during} == {joined[first - 1].seed}
    after = joined[first + length]
    assert during[-1].arriving is not None
    assert (during[-1].arriving.seed, during[-1].arriving.prompts[0]) == (after.seed, after.prompts[0])
    renderer = LatestFrameRenderer(toy_studio, lambda: None)
    pictures = imagined_all(renderer, joined[first - 1 : first + length + 1])
    steps = [float((b.float() - a.float()).abs().mean()) for a, b in itertools.pairwise(pictures)]
    hard = imagined_all(LatestFrameRenderer(toy_studio, lambda: None), [joined[first - 1], after])
    assert max(steps) < float((hard[1].float() - hard[0].float()).abs().mean())


def test_a_jam_end_to_end(serving: Any, preset: Path) -> None:
    sound = np.concatenate([beat_stream(8)[0]] * 60)
    closed = []

    def source() -> SoundInput:
        return SoundInput("a band", paced(blocks(sound), RATE), RATE, 0.01, lambda: closed.append(True))

    with serving(source, options={"preset": str(preset)}) as (address, _):
        assert address.input == "a band"
        parts = urlsplit(address.url)
        origin = f"http://{parts.netloc}"

        async def whole() -> None:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
                async with client.get(f"{origin}/") as page:
                    assert "live.js" in await page.text()
                await client.post(f"{origin}/login", json={"token": parts.fragment}, headers={"Origin": origin})
                async with client.get(f"{origin}/song") as answer:
                    assert answer.status == 404
                async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as socket:
                    await socket.send_json({"t": "credit", "n": 8})
                    pictures, told, asked = [], [], False
                    async with asyncio.timeout(240):
                        while len(pictures) < 8 or not asked or not told[-1].get("black"):
                            message = await socket.receive()
                            if message.type == aiohttp.WSMsgType.BINARY:
                                pictures.append(unpack_picture(message.data))
                            elif message.type == aiohttp.WSMsgType.TEXT:
                                told.append(message.json())
                            if len(pictures) == 8 and not asked:
                                asked = True
                                await socket.send_json({"t": "change", "kind": "black", "value": 1})
                                await socket.send_json({"t": "tap"})
                                await socket.send_json({"t": "next"})
                    numbers = [picture[1] for picture in pictures]
                    assert numbers == sorted(set(numbers))
                    status = next(message for message in reversed(told) if message["t"] == "status")
                    assert 0.03 < status["latency"]["ear"] < 0.06
                    assert status["latency"]["whole"] > status["latency"]["picture"] > 0
                    # messages are only sent on request, and a seek has no effect here
                    await socket.send_json({"t": "seek", "time": 0})
                    while (await socket.receive(240)).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                        pass
                    assert socket.close_code == 1007

        asyncio.run(whole())
    assert closed


def test_beats_and_phases_are_sent(toy_studio: Studio, preset: Path) -> None:
    session = LiveSession(toy_studio, SoundInput("x", (), RATE), lambda: None, (str(preset),))
    cues, told = LiveCues(session), []
    for block in blocks(beat_stream(12)[0]):
        for frame in session.signals.steps(block):
            session.row = session.conductor.step(frame)
        told += list(cues.cues())
    beats = [arguments[0] for address, arguments in told if address == "beat"]
    assert len(beats) > 15
    assert set(beats) == {1, 2, 3, 4}
    # where all beats are alike, the first that sounded becomes the "one" after some seconds
    assert all(b == a % 4 + 1 for a, b in itertools.pairwise(beats[10:]))
    assert [arguments[1] for address, arguments in told if address == "phase"][:2] == ["one", "two"]
    assert ("tempo", (120,)) in told or ("tempo", (121,)) in told or ("tempo", (119,)) in told


def test_the_preset_is_reloaded_and_kept_on_an_error(toy_studio: Studio, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(PRESET)
    session = LiveSession(toy_studio, SoundInput("x", (), RATE), lambda: None, (str(file),))
    assert not session.reload()
    file.write_text(PRESET.replace('"snow"', '"ice"'))
    assert session.reload()
    assert session.conductor.preset.phase[2].prompts[0].text == "ice"
    file.write_text("version = 2\nnothing")
    with pytest.raises(PresetError):
        session.reload()
    assert session.conductor.preset.phase[2].prompts[0].text == "ice"
    with pytest.raises(TimelineError):
        session.change({"kind": "door"})


DEVICES: list[dict[str, Any]] = [
    {"name": "Loudspeaker", "max_input_channels": 0, "default_samplerate": 48000.0},
    {"name": "Line In", "max_input_channels": 2, "default_samplerate": 48000.0},
    {"name": "USB Microphone", "max_input_channels": 1, "default_samplerate": 44100.0},
]


def test_inputs_are_selected_by_number_or_name() -> None:
    assert chosen_input(DEVICES, 2, None)["index"] == 2
    assert chosen_input(DEVICES, -1, None)["index"] == 1
    assert chosen_input(DEVICES, 1, "2")["name"] == "USB Microphone"
    assert chosen_input(DEVICES, 1, "usb")["name"] == "USB Microphone"
    with pytest.raises(MediaError, match='no input "0"') as caught:
        chosen_input(DEVICES, 1, "0")
    assert "Line In" in caught.value.remedy
    with pytest.raises(MediaError, match="no sound input"):
        chosen_input(DEVICES[:1], 0, None)


def test_a_missing_library_or_driver_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MediaError, match="sounddevice"):
        Microphone()

    class Broken:
        def find_spec(self, name: str, *rest: Any) -> Any:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(MediaError, match="PortAudio"):
        Microphone()


def test_a_microphone_yields_blocks_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        latency = 0.02

        def __init__(self, callback: Any, **options: Any) -> None:
            self.callback, self.options = callback, options

        def start(self) -> None:
            for number in range(3):
                self.callback(np.full((512, 1), number / 4, np.float32), 512, None, None)

        def close(self) -> None:
            pass

    fake = types.SimpleNamespace(
        query_devices=lambda: DEVICES,
        default=types.SimpleNamespace(device=[1, 0]),
        InputStream=Stream,
        PortAudioError=OSError,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    microphone = Microphone("usb")
    microphone.close()
    assert [block.mean() for block in microphone] == [0.0, 0.25, 0.5]
    assert microphone.sample_rate == 44_100
    assert microphone.latency == pytest.approx(0.02 + 512 / 44_100)


def test_a_full_queue_drops_the_oldest() -> None:
    waiting: queue.Queue[np.ndarray | None] = queue.Queue(2)
    for number in range(5):
        put_newest(waiting, np.full(1, number))
    assert [int(waiting.get()[0]) for _ in range(2)] == [3, 4]  # type: ignore[index]


def test_pacing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 0.3])
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    given: Iterator[np.ndarray] = iter([np.zeros(RATE // 10), np.zeros(RATE // 10)])
    assert len(list(paced(given, RATE, clock=lambda: next(clock)))) == 2
    assert slept == [pytest.approx(0.1), 0.0]
