"""All addresses of the studio have the preview's access control; uploads, commands and the queue are validated."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("aiohttp", reason="the extra [preview] is not installed")

from aiohttp import ClientSession, web

from reactive.live.web.listening import bound_socket
from reactive.live.web.security import Gate
from reactive.preset.shots import load_shots
from reactive.render import rates
from reactive.studio import renders
from reactive.studio.project import ProjectError, changed_project, new_project, open_project
from reactive.studio.server import StudioServer

GETS = (
    "/presets",
    "/library",
    "/places",
    "/lanes",
    "/song",
    "/thumb?file=a",
    "/poster/drift",
    "/renders/001/clip",
    "/ws",
)
POSTS = ("/do", "/render", "/estimate", "/preview", "/upload?as=song&name=a.wav")


class Visit:
    """A studio in this process with a logged-in client."""

    def __init__(self, server: StudioServer, session: ClientSession, base: str) -> None:
        self.server, self.session, self.base = server, session, base
        self.folder = server.folder

    async def post(self, path: str, data: Any = None, **headers: str) -> tuple[int, Any]:
        body = data if isinstance(data, bytes) else json.dumps({"t": "x", **(data or {})}).encode()
        kind = "application/octet-stream" if isinstance(data, bytes) else "application/json"
        given = {"Origin": self.base, "Content-Type": kind} | headers
        async with self.session.post(self.base + path, data=io.BytesIO(body), headers=given) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith("{") else text

    async def do(self, command: str, **data: Any) -> tuple[int, Any]:
        return await self.post("/do", {"do": command, "revision": open_project(self.folder).revision, **data})

    async def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        async with self.session.get(self.base + path, headers=headers) as answer:
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"], path
            return answer.status, await answer.read()

    async def heard(self) -> None:
        for _ in range(6000):
            if self.server.workshop.decided is not None and not self.server.workshop.doing:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("not heard")


def visit(folder: Path, work: Callable[[Visit], Coroutine[Any, Any, None]], *, logged_in: bool = True) -> None:
    async def whole() -> None:
        listener = bound_socket("127.0.0.1", 0)
        port = listener.getsockname()[1]
        gate = Gate("127.0.0.1", port)
        server = StudioServer(gate, folder)
        runner = web.AppRunner(server.application(), shutdown_timeout=0.5)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        cookies = {gate.cookie: gate.key} if logged_in else {}
        try:
            async with ClientSession(cookies=cookies) as session:
                await work(Visit(server, session, f"http://127.0.0.1:{port}"))
        finally:
            await runner.cleanup()

    asyncio.run(whole())


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(renders, "start_worker", lambda folder: None)
    monkeypatch.setattr(rates, "rates_file", lambda: tmp_path / "rates.json")


def png(seed: int = 0) -> bytes:
    written = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def test_every_address_is_among_those_that_are_tested(tmp_path: Path) -> None:
    application = StudioServer(Gate("127.0.0.1", 1), tmp_path / "clip").application()
    known = {(method, path.split("?")[0]) for method, paths in (("GET", GETS), ("POST", POSTS)) for path in paths}
    named = {("/poster/drift", "/poster/{name}"), ("/renders/001/clip", "/renders/{id}/{what}")}
    known = {(method, dict(named).get(path, path)) for method, path in known}
    # the way in, and the page's own files
    known |= {("GET", "/"), ("GET", "/page/{name}"), ("POST", "/login")}
    routes = {(route.method, route.resource.canonical) for route in application.router.routes() if route.resource}
    assert {(method, path) for method, path in routes if method != "HEAD"} == known


def test_nothing_is_accessible_without_the_token(tmp_path: Path) -> None:
    async def work(at: Visit) -> None:
        for path in GETS:
            assert (await at.get(path, Origin=at.base))[0] == 401, path
        for path in POSTS:
            assert (await at.post(path))[0] == 401, path
        assert list(at.folder.glob("*.wav")) == []

    visit(tmp_path / "clip", work, logged_in=False)


def test_foreign_hosts_origins_and_sites_are_refused_at_every_address(tmp_path: Path) -> None:
    async def work(at: Visit) -> None:
        for path in POSTS:
            assert (await at.post(path, Origin="http://evil.example"))[0] == 403, path
            assert (await at.post(path, Origin="null"))[0] == 403, path
            assert (await at.post(path, Host="evil.example"))[0] == 403, path
        for path in GETS:
            assert (await at.get(path, Host="evil.example"))[0] == 403, path
            assert (await at.get(path, **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}))[0] == 403, path

    visit(tmp_path / "clip", work)


def test_uploads_stay_in_the_project_whatever_they_are_called(tmp_path: Path) -> None:
    async def work(at: Visit) -> None:
        for name in (
            "../../evil.png",
            "%2e%2e%2fevil.png",
            "..%5C..%5Cevil.png",
            "/etc/evil.png",
            ".hidden.png",
            "a%00b.png",
        ):
            status, told = await at.post(f"/upload?as=picture&name={name}", png())
            assert status == 200, told
            assert told["file"].startswith("photos/")
            assert (at.folder / told["file"]).is_file()
        assert len(open_project(at.folder).photos) == 6
        assert {file.name for file in tmp_path.iterdir()} <= {"clip", "rates.json"}

    visit(tmp_path / "clip", work)


def test_a_file_that_does_not_match_its_name_is_refused_and_deleted(tmp_path: Path) -> None:
    async def work(at: Visit) -> None:
        for place, name, data in (
            ("song", "a.wav", png()),
            ("picture", "a.jpg", b"<script>alert(1)</script>"),
            ("picture", "a.mp4", png()),
            ("song", "a.exe", b"MZ"),
            ("bundle", "a.reactive", b"PK\x03\x04"),
            ("picture", "a.png", b""),
            ("secrets", "a.png", png()),
        ):
            status, told = await at.post(f"/upload?as={place}&name={name}", data)
            assert status == 422, (place, name, told)
            assert told["error"]["text"].endswith(".")
        project = open_project(at.folder)
        assert (project.song, project.photos, project.videos) == ("", (), ())
        left = [
            file
            for file in at.folder.rglob("*")
            if file.is_file() and file.name not in ("project.toml", ".project.lock")
        ]
        assert left == []

    visit(tmp_path / "clip", work)


def test_an_upload_larger_than_announced_is_aborted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from reactive.studio import server, uploads

    small = {name: replace(kind, max_bytes=1000) for name, kind in uploads.KINDS.items()}
    monkeypatch.setattr(server, "KINDS", small)

    async def work(at: Visit) -> None:
        async def chunks() -> Any:
            for _ in range(40):
                yield b"x" * 100

        headers = {"Origin": at.base, "Content-Type": "application/octet-stream"}
        async with at.session.post(at.base + "/upload?as=picture&name=a.png", data=chunks(), headers=headers) as answer:
            assert answer.status == 422
        assert (await at.post("/upload?as=picture&name=a.png", b"x" * 2000))[0] == 422
        assert list((at.folder / ".studio").iterdir()) == []

    visit(tmp_path / "clip", work)


def test_pictures_of_other_folders_and_links_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png())

    async def work(at: Visit) -> None:
        for file in ("../secret.png", str(tmp_path / "secret.png"), "project.toml", "photos/none.png"):
            assert (await at.get(f"/thumb?file={file}"))[0] == 404
        _, told = await at.post("/upload?as=picture&name=a.png", png())
        assert (await at.get(f"/thumb?file={told['file']}"))[0] == 200
        own = at.folder / told["file"]
        own.unlink()
        own.symlink_to(tmp_path / "secret.png")
        assert (await at.get(f"/thumb?file={told['file']}"))[0] == 404
        for path in (
            "/poster/..%2f..%2fsecret.png",
            "/poster/secret",
            "/renders/..%2f..%2fx/clip",
            "/renders/001/clip",
        ):
            assert (await at.get(path))[0] == 404, path

    visit(tmp_path / "clip", work)


def test_a_project_with_links_leads_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "clip"
    (outside / "job" / "segments").mkdir(parents=True)
    (outside / "job" / "manifest.json").write_text("{}")
    (outside / "precious").write_text("mine")
    new_project(folder)
    project = changed_project(open_project(folder), song="song.wav")

    def at_work(link: str, target: Path) -> None:
        (folder / link).parent.mkdir(parents=True, exist_ok=True)
        (folder / link).symlink_to(target)

    # the queue
    at_work("renders", outside)
    with pytest.raises(ProjectError, match="symbolic link"):
        renders.queue_render(folder, project, {})
    assert renders.list_renders(folder) == []
    assert not renders.is_working(folder)
    assert {file.name for file in outside.iterdir()} == {"job", "precious"}
    (folder / "renders").unlink()
    # a render's files, and those of its worker
    render = renders.queue_render(folder, project, {})
    renders.set_state(folder, render.id, "running")
    monkeypatch.setattr(renders, "is_working", lambda folder: True)
    at_work(f"renders/.{render.id}.stop", outside / "precious")
    renders.pause_render(folder, render.id, "pause")
    at_work("renders/.worker.log", outside / "precious")
    with renders._appended(folder / "renders" / ".worker.log") as log:
        log.write(b"text")
    monkeypatch.setattr(renders, "is_working", lambda folder: False)
    job = renders.job_of(folder, render)
    job.parent.mkdir(exist_ok=True)
    job.symlink_to(outside / "job")
    # the song for the page
    at_work(".studio", outside)

    async def work(at: Visit) -> None:
        for what in ("picture", "recipe", "clip", "poster"):
            assert (await at.get(f"/renders/{render.id}/{what}"))[0] == 404, what
        assert (await at.post("/upload?as=picture&name=a.png", png()))[0] == 422
        with pytest.raises(ProjectError, match="symbolic link"):
            _ = at.server.workshop.wav
        for kind, place in (("library", "photos"), ("caption", "photos")):
            (at.folder / place).symlink_to(outside)
            status, _ = await at.do(kind, name="aurora", file="photos/a.png", text="x")
            assert status == 422, kind
            (at.folder / place).unlink()
        assert (await at.post("/render", {"what": "remove", "id": render.id}))[0] == 200

    visit(folder, work)
    assert (outside / "precious").read_text() == "mine"
    assert sorted(file.name for file in outside.rglob("*")) == ["job", "manifest.json", "precious", "segments"]


def test_a_project_file_with_foreign_paths_is_refused_with_the_key(tmp_path: Path) -> None:
    for key, value in (
        ("song", '"/etc/passwd"'),
        ("photos", '["../secret.png"]'),
        ("videos", '["C:\\\\secret.mp4"]'),
        ("preset", '"~/preset.toml"'),
        ("shots", '".hidden/shots.toml"'),
        ("grid", '"/tmp/grid.json"'),
        ("take", '"a/../../take.json"'),
    ):
        folder = tmp_path / key
        folder.mkdir()
        (folder / "project.toml").write_text(f"version = 1\n{key} = {value}\n")
        with pytest.raises(ProjectError, match=key):
            StudioServer(Gate("127.0.0.1", 1), folder)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "project.toml").write_text('version = 1\n[settings]\nmodel = "/etc"\n')
    with pytest.raises(ProjectError, match="model"):
        StudioServer(Gate("127.0.0.1", 1), tmp_path / "model")


def test_invalid_messages_are_refused(tmp_path: Path) -> None:
    async def work(at: Visit) -> None:
        for data in (
            {"do": "eval"},
            {"do": "preset"},
            {"do": "preset", "name": 7, "revision": 0},
            {"do": "grid", "revision": 1e400},
            {"do": "shot", "revision": 0, "names": []},
            {"do": ["preset"], "revision": 0},
        ):
            assert (await at.post("/do", data))[0] in (400, 422), data
        assert (await at.post("/do", b"[" * 100_000))[0] in (400, 413, 415)
        assert (await at.post("/do", {"do": "preset", "name": "x" * 20_000}))[0] in (400, 413)
        for name in ("../../etc/passwd", "/etc/passwd", "nothing-like-it"):
            assert (await at.do("preset", name=name))[0] == 422
        assert (await at.do("settings", settings={"model": "/etc/passwd"}))[0] == 422
        assert (await at.do("settings", settings={"nothing": 1}))[0] == 422
        assert open_project(at.folder).revision == 0

    visit(tmp_path / "clip", work)


def test_a_change_to_an_older_revision_is_refused(tmp_path: Path) -> None:
    async def work(at: Visit) -> None:
        first = await at.post("/do", {"do": "preset", "name": "drift", "revision": 0})
        assert first == (200, {"ok": True, "revision": 1})
        status, told = await at.post("/do", {"do": "preset", "name": "forge", "revision": 0})
        assert status == 409
        assert "meanwhile" in told["error"]["text"]
        assert open_project(at.folder).preset == "drift"

    visit(tmp_path / "clip", work)


def test_from_upload_to_clip_by_messages(beat_wav: Path, tmp_path: Path) -> None:
    async def work(at: Visit) -> None:
        assert (await at.post("/upload?as=song&name=song.wav", beat_wav.read_bytes()))[0] == 200
        await at.post("/upload?as=picture&name=sea.png", png(1))
        await at.heard()
        assert (await at.do("preset", name="double-exposure"))[0] == 200
        lanes = json.loads((await at.get("/lanes"))[1])
        assert abs(lanes["song"]["tempo"] - 120) < 1
        assert lanes["pictures"]["sea.png"]
        shot, other = lanes["shots"][1], lanes["shots"][2]
        assert (await at.do("shot", names=[shot["name"]], prompt="a white door in the sea"))[0] == 200
        assert (await at.do("shot", names=[shot["name"]], roll=True))[0] == 200
        assert (await at.do("shot", names=[shot["name"]], beats=1, photo="photos/sea.png"))[0] == 200
        now = json.loads((await at.get("/lanes"))[1])["shots"]
        assert now[1]["prompts"] == ["a white door in the sea"]
        assert now[1]["seed"] != shot["seed"]
        assert now[1]["start"] == pytest.approx(shot["start"] + 0.5, abs=0.05)
        assert now[0]["end"] == now[1]["start"]
        assert now[2] == other
        edit = load_shots(at.folder / open_project(at.folder).shots).shot[shot["name"]]
        assert (edit.prompt, edit.beats, edit.photo) == (["a white door in the sea"], 1, "sea.png")
        for _ in range(3):
            assert (await at.do("undo"))[0] == 200
        assert json.loads((await at.get("/lanes"))[1])["shots"] == lanes["shots"]
        for _ in range(3):
            assert (await at.do("redo"))[0] == 200
        assert json.loads((await at.get("/lanes"))[1])["shots"] == now
        assert (await at.do("grid", action="half"))[0] == 200
        assert json.loads((await at.get("/lanes"))[1])["song"]["tempo"] == pytest.approx(60, abs=1)
        assert (at.folder / open_project(at.folder).grid).is_file()
        assert (await at.post("/render", {"what": "start", "settings": {"duration": 2.0, "size": "192x112"}}))[0] == 200
        render = renders.read_render(at.folder, "001")
        assert render.state == "queued"
        assert render.corrections["half"] is True
        frozen = load_shots(at.folder / render.project.shots)
        await at.do("shot", names=[other["name"]], prompt="later")
        assert load_shots(at.folder / render.project.shots) == frozen
        for what, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
            assert (await at.post("/render", {"what": what, "id": "001"}))[0] == 200
            assert renders.read_render(at.folder, "001").state == state
        assert (await at.post("/render", {"what": "remove", "id": "001"}))[0] == 200
        assert renders.list_renders(at.folder) == []

    visit(tmp_path / "clip", work)


def test_undo_says_what_it_takes_back_and_a_bundled_photograph_can_be_for_one_shot(
    beat_wav: Path, tmp_path: Path
) -> None:
    async def work(at: Visit) -> None:
        assert (await at.post("/upload?as=song&name=demo.wav", beat_wav.read_bytes()))[0] == 200
        await at.heard()
        library = json.loads((await at.get("/library"))[1])
        shots = json.loads((await at.get("/lanes"))[1])["shots"]
        assert all(shot["start"] <= shot["settled"] < shot["end"] for shot in shots)
        name = shots[0]["name"]
        await at.do("shot", names=[name], roll=True)
        assert at.server.workshop.state()["undoes"] == "painting shot 1 anew"
        assert (await at.do("shot", names=[name], library=library[0]["name"]))[0] == 200
        now = json.loads((await at.get("/lanes"))[1])["shots"]
        assert Path(now[0]["photo"]).stem == library[0]["name"]
        assert (at.folder / "photos" / now[0]["photo"]).is_file()
        # other shots have what they had
        assert open_project(at.folder).photos == ()
        assert now[1:] == shots[1:]
        assert at.server.workshop.state()["undoes"] == "the photograph of shot 1"
        await at.do("undo")
        state = at.server.workshop.state()
        assert (state["undoes"], state["redoes"]) == ("painting shot 1 anew", "the photograph of shot 1")
        await at.do("redo")
        assert at.server.workshop.state()["undoes"] == "the photograph of shot 1"
        assert (await at.do("shot", names=[name], library="../../etc/passwd"))[0] == 422
        # steps that a person has been through stay known, and are nothing to undo
        undos = len(at.server.workshop.undos)
        assert (await at.do("done", step="timeline"))[0] == 200
        assert (await at.do("done", step="elsewhere"))[0] == 422
        assert open_project(at.folder).done == ("timeline",)
        assert len(at.server.workshop.undos) == undos
        await at.do("preset", name="forge")
        await at.do("undo")
        assert open_project(at.folder).done == ("choose", "timeline")
        changed = changed_project(open_project(at.folder), preset="drift", done=())
        at.server.workshop.project = changed
        assert at.server.workshop.state()["done"] == ["choose"]

    visit(tmp_path / "clip", work)


def test_a_place_decides_size_rate_length_and_name_of_its_clip(beat_wav: Path, tmp_path: Path) -> None:
    from reactive.studio.project import render_settings

    async def work(at: Visit) -> None:
        assert (await at.post("/upload?as=song&name=song.wav", beat_wav.read_bytes()))[0] == 200
        await at.heard()
        length = at.server.workshop.song.track.duration if at.server.workshop.song else 0.0
        told = {}
        for place in ("", "youtube", "canvas", "stage"):
            status, told[place] = await at.post("/estimate", {"settings": {"place": place, "size": "192x112"}})
            assert status == 200, told[place]
        assert told[""]["frames"] == told["youtube"]["frames"] == round(24 * length)
        assert told["canvas"]["frames"] == 8 * 24
        assert told["stage"]["frames"] == round(30 * length)
        assert told[""]["bytes"] < told["youtube"]["bytes"] < told["stage"]["bytes"]
        assert told[""]["seconds"] < told["youtube"]["seconds"]
        for place in ("reels", "canvas", "stage"):
            wanted = {"place": place, "size": "192x112", "also": ["1:1"], "start": 1.0, "duration": 5.0}
            assert (await at.post("/render", {"what": "start", "settings": wanted}))[0] == 200
        queued = renders.list_renders(at.folder)
        assert [one.clip for one in queued] == [
            "renders/001 song.reels.mp4",
            "renders/002 song.canvas.mp4",
            "renders/003 song.stage.mov",
        ]
        reels, canvas, stage = (render_settings(at.folder, one.project) for one in queued)
        assert (reels.output.size, reels.fps, reels.duration, reels.start) == ((1080, 1920), 30, 5.0, 1.0)
        assert (reels.output.loudness, reels.output.also) == (-14.0, ())
        assert (canvas.output.loop, canvas.duration, canvas.start) == ("auto", None, 0.0)
        assert (stage.encoding.codec, stage.output.size) == ("prores", (1920, 1080))
        status, refused = await at.post("/render", {"what": "start", "settings": {"place": "reels", "duration": 2.0}})
        assert status == 422
        assert "shorter than reels takes" in refused["error"]["text"]
        assert (await at.post("/estimate", {"settings": {"place": "billboard"}}))[0] == 422
        (at.folder / stage_clip).write_bytes(b"x")
        assert (await at.post("/render", {"what": "remove", "id": "003"}))[0] == 200
        assert not (at.folder / stage_clip).exists()

    stage_clip = "renders/003 song.stage.mov"
    visit(tmp_path / "clip", work)
