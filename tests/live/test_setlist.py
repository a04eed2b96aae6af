"""A set list: every file is checked when it is read, the next song is loaded in advance, changes to songs are kept."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import io
import sys
import threading
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from reactive.cli import main
from reactive.diffusion.imaginer import Imaginer
from reactive.errors import ReactiveError
from reactive.live import memory
from reactive.live.engine import MAX_REVIVALS, Engine
from reactive.live.material import PreviewOptions, SongMaterial, load_material
from reactive.live.playlist import Playlist
from reactive.live.session import Session
from reactive.live.setlist import is_set_list, read_set_list, single
from reactive.live.song import last_bars
from reactive.live.web.protocol import unpack_picture
from reactive.timeline.timeline import Timeline
from tests.live.browser import until


def settings(**changes: Any) -> PreviewOptions:
    return PreviewOptions.of(**{"steps": 1, "threads": 1, "fps": Fraction(24)} | changes)


def click_song(path: Path, tempo: float, seconds: float = 4.0) -> Path:
    rate = 22050
    sound = np.zeros(int(seconds * rate), np.float32)
    burst = np.random.default_rng(0).standard_normal(600).astype(np.float32) * np.linspace(
        0.8, 0, 600, dtype=np.float32
    )
    for beat in np.arange(0, seconds - 0.1, 60 / tempo):
        at = int(beat * rate)
        sound[at : at + 600] += burst[: len(sound) - at]
    soundfile.write(path, sound, rate)
    return path


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory, live_preset: Path) -> Path:
    """A set list of three songs with their presets."""
    folder = tmp_path_factory.mktemp("evening")
    for number, tempo in enumerate((120, 100, 140), 1):
        click_song(folder / f"{number}.wav", tempo)
    (folder / "own.toml").write_text(live_preset.read_text())
    (folder / "set.toml").write_text(
        'title = "Friday"\n[[song]]\nfile = "1.wav"\npreset = "own.toml"\n[[song]]\nfile = "2.wav"\npreset = "own.toml"\n'
        'title = "The second"\n[[song]]\nfile = "3.wav"\npreset = "own.toml"\nwith = ["warehouse"]\n'
    )
    return folder / "set.toml"


def test_a_list_is_read_with_paths_beside_it(evening: Path) -> None:
    songs = read_set_list(evening, settings(seed=7), ("forge",))
    assert (songs.title, songs.ending) == ("Friday", "next")
    assert [song.title for song in songs.songs] == ["1", "The second", "3"]
    assert [song.file for song in songs.songs] == [evening.parent / f"{n}.wav" for n in (1, 2, 3)]
    assert songs.songs[0].presets == (str(evening.parent / "own.toml"), "forge")
    assert songs.songs[2].presets == (str(evening.parent / "own.toml"), "warehouse")
    assert all(song.options.seed == 7 for song in songs.songs)
    assert is_set_list(evening)
    assert not is_set_list(evening.parent / "1.wav")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no songs"),
        ("song = 3", "has no songs"),
        ("[[song]]\npreset = 'forge'", "song 1: has no file"),
        ("[[song]]\nfile = 'none.wav'", "none.wav: no such file"),
        ("[[song]]\nfile = '1.wav'\npreset = 'nowhere'", "nowhere"),
        ("[[song]]\nfile = '1.wav'\nwith = 'forge'", "with is not a list"),
        ("[[song]]\nfile = '1.wav'\nsong = 2", '"song" is not known'),
        ("[[song]]\nfile = '1.wav'\nmacros = { storm = 7 }", "storm"),
        ("[[song]]\nfile = '1.wav'\nphotos = ['no.jpg']", "no.jpg: no such file"),
        ("[[song]]\nfile = 3", "file is not a text"),
        ("ending = 'bang'\n[[song]]\nfile = '1.wav'", "is not known"),
        ("band = 'x'\n[[song]]\nfile = '1.wav'", '"band" is not known'),
    ],
)
def test_errors_are_reported_when_the_list_is_read(evening: Path, text: str, said: str) -> None:
    wrong = evening.parent / "wrong.toml"
    wrong.write_text(text)
    with pytest.raises(ReactiveError, match=said) as caught:
        read_set_list(wrong, settings())
    assert "wrong.toml" in str(caught.value)
    done = CliRunner().invoke(main, ["preview", str(wrong), "--no-open", "--port", "0"])
    assert done.exit_code == 1
    assert "Traceback" not in done.output


def test_a_single_song_is_a_list_of_one(beat_wav: Path) -> None:
    songs = single(beat_wav, settings(), ())
    assert (len(songs.songs), songs.ending) == (1, "stop")


@pytest.fixture
def playlist(evening: Path, toy_model: Path) -> Any:
    made = Playlist(read_set_list(evening, settings(model=str(toy_model))), lambda frames: None)
    yield made
    made.close()


def kept() -> dict[str, int]:
    """Return how much of an evening is kept: songs, engines, materials, timelines, threads, and entries of all caches."""
    gc.collect()
    counted: dict[str, int] = dict.fromkeys(
        (one.__name__ for one in (Session, Engine, SongMaterial, Imaginer, Timeline)), 0
    )
    for one in gc.get_objects():
        if type(one) in (Session, Engine, SongMaterial, Imaginer, Timeline):
            counted[type(one).__name__] += 1
    counted["threads"] = threading.active_count()
    for name, module in list(sys.modules.items()):
        if name.startswith("reactive."):
            for item, value in vars(module).items():
                if hasattr(value, "cache_info") and getattr(value, "__module__", "") == name:
                    counted[f"{name}.{item}"] = value.cache_info().currsize
                elif isinstance(value, dict | list | set) and not item.isupper() and not item.startswith("__"):
                    counted[f"{name}.{item}"] = len(value)
    return counted


def test_thirty_songs_leave_no_more_than_the_first_round(playlist: Playlist) -> None:
    # what other tests have left
    before = kept()
    shown = playlist.first()
    after_rounds = []
    for change in range(1, 31):
        engine = shown.session.engine
        engine.start()
        shown.session.change({"kind": "control", "time": 1.0, "name": "walk", "value": 1.5})
        until(lambda engine=engine: len(engine.store) > 0)
        following = playlist.prepare(change % 3)
        playlist.begin(following, shown)
        playlist.let_go(shown)
        shown = following
        del engine, following
        if change % 3 == 0:
            after_rounds.append(kept())
    assert all(after_rounds[-1][name] - before[name] == 1 for name in ("Session", "Engine", "SongMaterial"))
    grown = {
        name: (count, after_rounds[-1][name])
        for name, count in after_rounds[1].items()
        if after_rounds[-1][name] > count
    }
    assert grown == {}
    assert len(list(Path(playlist._folder.name).iterdir())) == 1
    shown.session.close()


def test_freed_memory_is_given_back_where_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(memory, "_trim", lambda: asked.append)
    memory.give_back_memory()
    assert asked == [0]
    monkeypatch.setattr(memory, "_trim", lambda: None)
    memory.give_back_memory()
    monkeypatch.undo()

    class Other:
        """A C library without that function."""

        def __getattr__(self, name: str) -> None:
            raise AttributeError(name)

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Other())
    assert memory._trim.__wrapped__() is None


def test_the_next_song_is_loaded_in_advance_with_the_same_model(playlist: Playlist) -> None:
    first = playlist.first()
    other = playlist.prepare(1)
    assert other.session.material.model is first.session.material.model
    assert other.session.material.track.path.name == "2.wav"
    assert first.session.material.track.path.name == "1.wav"
    with wave.open(str(other.wav)) as sound:
        assert sound.getnframes() == other.session.material.track.samples
    playlist.begin(other, first)
    playlist.let_go(first)
    assert not first.wav.exists()
    assert (playlist.number, playlist.neighbour(1), playlist.neighbour(-1), playlist.following) == (1, 2, 0, 2)
    last = playlist.prepare(2)
    playlist.begin(last, other)
    assert playlist.following is None
    with pytest.raises(ReactiveError, match="last song"):
        playlist.neighbour(1)
    with pytest.raises(ReactiveError, match="no song 9"):
        playlist.checked(8)


def test_going_back_to_a_song_keeps_its_changes(playlist: Playlist) -> None:
    first = playlist.first()
    first.session.change({"time": 1.0, "kind": "control", "name": "walk", "value": 2.0})
    other = playlist.prepare(1)
    playlist.begin(other, first)
    playlist.let_go(first)
    again = playlist.prepare(0)
    assert again.session.changes == first.session.changes
    before, after = first.session.performance.timeline, again.session.performance.timeline
    assert all(np.array_equal(before.columns[name], after.columns[name]) for name in before.columns)


def test_pictures_continue_over_the_last_audible_bars(beat_analysis: Any) -> None:
    start, end = last_bars(beat_analysis, 2)
    assert 0 <= start < end <= beat_analysis.duration + 1e-6
    # at 120 beats a minute: two bars of four
    assert end - start == pytest.approx(4.0, abs=0.1)


# -- a thread that dies ------------------------------------------------------------------------------------------------
@pytest.fixture
def engine(beat_wav: Path, toy_model: Path, live_preset: Path) -> Any:
    material = load_material(beat_wav, settings(model=str(toy_model)))
    session = Session(material, lambda frames: None, (str(live_preset),))
    session.engine.start()
    yield session.engine
    session.engine.stop()


def kill(thread: threading.Thread) -> None:
    """End a thread with an exception that its code does not expect."""
    assert (
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)) == 1
    )
    until(lambda: not thread.is_alive())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_killed_engine_keeps_its_pictures_and_restarts(engine: Engine) -> None:
    until(lambda: len(engine.store) > 2)
    kept = engine.current_picture()
    assert kept is not None
    assert not engine.died
    kill(engine._thread)
    assert engine.died
    assert engine.current_picture() == kept
    before = len(engine.store)
    assert engine.revive()
    assert not engine.revive()
    engine.set_transport(type(engine.transport)(engine.transport.duration, 2.0), jumped=True)
    until(lambda: len(engine.store) > before)
    assert engine.error is None
    assert "started again" in str(engine.note)


def test_an_engine_that_fails_repeatedly_reports_why(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Engine, scene: Any, frames: Any, *, alone: bool) -> Any:
        raise ValueError("the driver is gone")

    monkeypatch.setattr(Engine, "_independent", broken)
    engine.set_transport(type(engine.transport)(engine.transport.duration, 1.0), jumped=True)
    for _ in range(MAX_REVIVALS):
        until(lambda: engine.died)
        assert engine.revive()
    until(lambda: engine.died)
    assert not engine.revive()
    assert "the driver is gone" in str(engine.error)


# -- served ------------------------------------------------------------------------------------------------------------
class Page:
    """Imitates a page that plays a set list, and records the messages it receives."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.told: list[dict[str, Any]] = []
        self.pictures: list[tuple[int, int]] = []

    async def until(self, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(240):
            while True:
                message = await self.socket.receive()
                if message.type == aiohttp.WSMsgType.BINARY:
                    epoch, frame, _, _ = unpack_picture(message.data)
                    self.pictures.append((epoch, frame))
                    continue
                self.told.append(message.json())
                if check(message.json()):
                    return message.json()

    async def since(self, mark: int, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first matching message after number `mark`, waiting for it if necessary."""
        return next((message for message in self.told[mark:] if check(message)), None) or await self.until(check)

    async def seek(self, time: float, number: int) -> int:
        await self.socket.send_json({"t": "seek", "time": time, "playing": False, "n": number, "credit": 20})
        return int((await self.until(lambda m: m["t"] == "epoch" and m["n"] == number))["epoch"])


def served(serving: Any, song: Path, visit: Callable[[Page, aiohttp.ClientSession, str], Any], **options: Any) -> None:
    with serving(song=song, **options) as (address, _):
        parts = urlsplit(address.url)
        origin = f"http://{parts.netloc}"

        async def whole() -> None:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
                await client.post(f"{origin}/login", json={"token": parts.fragment}, headers={"Origin": origin})
                async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as socket:
                    await visit(Page(socket), client, origin)

        asyncio.run(whole())


async def sound(client: aiohttp.ClientSession, origin: str) -> int:
    async with client.get(f"{origin}/song") as answer:
        with wave.open(io.BytesIO(await answer.read())) as file:
            return file.getnframes()


def test_a_set_of_three_songs(serving: Any, evening: Path) -> None:
    async def visit(page: Page, client: aiohttp.ClientSession, origin: str) -> None:
        hello = await page.until(lambda m: m["t"] == "hello")
        assert hello["title"] == "1"
        state = await page.until(lambda m: m["t"] == "state" and m["ready"] == 1)
        assert (state["songs"], state["song"], state["ending"]) == (["1", "The second", "3"], 0, "next")
        frames = await sound(client, origin)
        before = await page.seek(0.5, 1)
        await page.until(lambda m: m["t"] == "status")
        mark = len(page.told)
        await page.socket.send_json({"t": "song", "step": 1})
        again = await page.until(lambda m: m["t"] == "hello")
        assert (again["title"], again["song"]) == ("2", hello["song"] + 1)
        assert (await page.until(lambda m: m["t"] == "begin"))["playing"] is False
        # no picture of the previous song is taken for one of this song: epochs only increase
        assert await page.seek(0.5, 2) > before
        page.pictures.clear()
        await page.until(lambda m: m["t"] == "status" and bool(page.pictures))
        assert all(epoch > before for epoch, _ in page.pictures)
        assert await sound(client, origin) == frames
        # after the end the third song starts at once
        # the time until it is ready depends on the machine
        await page.since(mark, lambda m: m["t"] == "state" and m["ready"] == 2)
        await page.socket.send_json({"t": "ended"})
        assert (await page.until(lambda m: m["t"] == "begin"))["playing"] is True
        await page.socket.send_json({"t": "ended"})
        going = await page.until(lambda m: m["t"] == "go on")
        assert 0 <= going["a"] < going["b"]
        await page.socket.send_json({"t": "ending", "ending": "repeat"})
        await page.until(lambda m: m["t"] == "state" and m["ending"] == "repeat")
        await page.socket.send_json({"t": "ended"})
        assert (await page.until(lambda m: m["t"] == "begin"))["playing"] is True
        await page.socket.send_json({"t": "song", "step": 1})
        assert "last song" in (await page.until(lambda m: m["t"] == "error"))["text"]
        await page.socket.send_json({"t": "ending", "ending": "bang"})
        assert "no such ending" in (await page.until(lambda m: m["t"] == "error"))["text"]

    served(serving, evening, visit)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_killed_engine_restarts_by_itself(serving: Any, beat_wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines: list[Engine] = []
    start = Engine.start

    def noted(self: Engine) -> None:
        engines.append(self)
        start(self)

    monkeypatch.setattr(Engine, "start", noted)

    async def visit(page: Page, client: aiohttp.ClientSession, origin: str) -> None:
        await page.seek(0.5, 1)
        await page.until(lambda m: m["t"] == "status" and bool(page.pictures))
        await asyncio.get_running_loop().run_in_executor(None, kill, engines[0]._thread)
        await page.until(lambda m: m["t"] == "status" and "started again" in str(m["note"]))
        page.pictures.clear()
        await page.seek(2.5, 2)
        status = await page.until(lambda m: m["t"] == "status" and bool(page.pictures))
        assert status["failed"] is None

    served(serving, beat_wav, visit)
