"""Access control of the web server: host names, origins, token, cookie, paths, limits, headers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from reactive.errors import OutputError
from reactive.live.web import clients, security
from reactive.live.web.addresses import local_url, network_urls
from reactive.live.web.clients import MAX_CLIENTS
from reactive.live.web.listening import bound_socket
from reactive.live.web.login import PAGES
from reactive.live.web.mjpeg import BOUNDARY, MAX_STREAMS
from reactive.live.web.protocol import MAX_MESSAGE
from reactive.live.web.security import HEADERS, Allowance, Gate, PerAddress, is_loopback, kept_key
from reactive.live.web.server import LOGIN_BURST, MJPEG, Server
from reactive.live.web.song_preview import SongPreview

Visit = Callable[[aiohttp.ClientSession, str, str], Awaitable[Any]]


@pytest.fixture
def visit(served: Any) -> Callable[[Visit], Any]:
    """Run `visit`, a coroutine that gets a client session, the server's origin and the token."""
    address, _ = served
    parts = urlsplit(address.url)

    def run(visiting: Visit) -> Any:
        async def whole() -> Any:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
                return await visiting(client, f"{parts.scheme}://{parts.netloc}", parts.fragment)

        return asyncio.run(whole())

    return run


async def log_in(client: aiohttp.ClientSession, origin: str, token: str) -> aiohttp.ClientResponse:
    while True:
        answer = await client.post(f"{origin}/login", json={"token": token}, headers={"Origin": origin})
        # one server is shared by all tests and limits the rate of logins
        if answer.status != 429:
            return answer
        await asyncio.sleep(0.2)


async def status(client: aiohttp.ClientSession, url: str, **headers: str) -> int:
    async with client.get(url, headers=headers) as response:
        return response.status


def test_the_token_gives_a_cookie_hidden_from_scripts_and_other_sites(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> None:
        assert (await log_in(client, origin, "wrong")).status == 403
        assert await status(client, f"{origin}/song") == 401
        response = await log_in(client, origin, token)
        assert response.status == 200
        cookie = response.headers["Set-Cookie"]
        assert cookie.startswith(f"reactive-{urlsplit(origin).port}=")
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert token not in cookie
        assert await status(client, f"{origin}/song") == 200

    visit(visiting)


@pytest.mark.parametrize("path", ["/song", "/lanes", "/ws", "/song?token=x", "/share", "/share/play.svg", "/unknown"])
def test_nothing_is_accessible_without_the_cookie(visit: Any, path: str) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> int:
        return await status(client, origin + path, Origin=origin, Cookie="reactive-1=guess")

    assert visit(visiting) == 401


GUARDED = (
    ("GET", "/song"),
    ("GET", "/lanes"),
    ("GET", "/ws"),
    ("GET", MJPEG),
    ("GET", "/share"),
    ("GET", "/share/{name}.svg"),
    ("POST", "/viewing"),
    ("DELETE", "/viewing"),
)
OPEN = (("GET", "/"), *(("GET", path) for path in PAGES), ("GET", "/page/{name}"), ("POST", "/login"))


def test_every_address_needs_the_cookie_and_the_own_host(visit: Any) -> None:
    server = Server(Gate("127.0.0.1", 1))
    server.preview = object.__new__(SongPreview)
    routes = server.application().router.routes()
    found = {(route.method, route.resource.canonical) for route in routes if route.resource and route.method != "HEAD"}
    assert found == {*GUARDED, *OPEN}

    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> None:
        for method, path in GUARDED:
            url = origin + path.replace("{name}", "play")
            async with client.request(method, url, headers={"Origin": origin}) as answer:
                assert answer.status == 401, path
        await log_in(client, origin, token)
        for method, path in (*GUARDED, *OPEN):
            url = origin + path.replace("{name}", "play")
            for name, value in (("Host", "evil.example"), ("Origin", "http://evil.example")):
                if method == "GET" and name == "Origin" and (method, path) in OPEN:
                    continue
                async with client.request(method, url, headers={"Origin": origin} | {name: value}) as answer:
                    assert answer.status == 403, (name, path)

    visit(visiting)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:PORT",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example:PORT",
        "a@127.0.0.1:PORT",
        "",
    ],
)
def test_a_foreign_host_is_refused_even_with_the_cookie(visit: Any, host: str) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> list[int]:
        await log_in(client, origin, token)
        name = host.replace("PORT", str(urlsplit(origin).port))
        paths = ("/", "/song", "/remote", "/look", "/share", "/share/play.svg")
        return [await status(client, origin + path, Host=name) for path in paths]

    # an empty Host is refused by the HTTP parser
    assert set(visit(visiting)) <= {403, 400}


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://127.0.0.1:1", "http://localhost", "HTTPS"])
def test_foreign_and_null_origins_are_refused(visit: Any, origin: str) -> None:
    async def visiting(client: aiohttp.ClientSession, ours: str, token: str) -> list[int]:
        theirs = ours.replace("http:", "https:") if origin == "HTTPS" else origin
        await log_in(client, ours, token)
        paths = ("/", "/song", "/lanes", "/ws", "/remote", "/look", "/share", "/share/look.svg")
        found = [await status(client, ours + path, Origin=theirs) for path in paths]
        async with client.post(f"{ours}/login", json={"token": token}, headers={"Origin": theirs}) as response:
            return [*found, response.status]

    assert set(visit(visiting)) == {403}


def test_the_socket_and_posts_need_an_origin(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> list[int]:
        await log_in(client, origin, token)
        async with client.post(f"{origin}/login", json={"token": token}) as response:
            return [await status(client, f"{origin}/ws"), response.status]

    assert visit(visiting) == [403, 403]


def test_cross_site_forms_and_embeds_are_refused(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> list[int]:
        await log_in(client, origin, token)
        form = await client.post(f"{origin}/login", data={"token": token}, headers={"Origin": origin})
        plain = await client.post(
            f"{origin}/login",
            data=json.dumps({"token": token}),
            headers={"Origin": origin, "Content-Type": "text/plain"},
        )
        embed = await status(client, f"{origin}/song", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})
        script = await status(
            client, f"{origin}/page/main.js", **{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}
        )
        frame = await status(client, f"{origin}/", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})
        return [form.status, plain.status, embed, script, frame]

    assert visit(visiting) == [415, 415, 403, 403, 403]


@pytest.mark.parametrize(
    "path",
    [
        "/page/../server.py",
        "/page/%2e%2e/server.py",
        "/page/..%2fserver.py",
        "/page/%2e%2e%2fserver.py",
        "/page/..%5cserver.py",
        "/page/%252e%252e%252fserver.py",
        "/page//etc/passwd",
        "/page/%2fetc%2fpasswd",
        "/page/main.js%00.html",
        "/page/.",
        "/../../etc/passwd",
        "/share/../server.py",
        "/share/%2e%2e%2fplay.svg",
        "/share/nothing.svg",
        "/share/%2fetc%2fpasswd.svg",
    ],
)
def test_no_path_reaches_the_file_system(visit: Any, path: str) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> tuple[int, str]:
        from yarl import URL

        await log_in(client, origin, token)
        async with client.get(URL(origin + path, encoded=True)) as response:
            return response.status, await response.text()

    code, text = visit(visiting)
    assert code in (400, 404)
    assert "import" not in text
    assert "root:" not in text


def test_every_answer_has_strict_headers(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> None:
        refused = {"headers": {"Host": "evil.example"}}
        await log_in(client, origin, token)
        for path, more in (
            ("/", {}),
            ("/page/main.js", {}),
            ("/song", {}),
            ("/lanes", {}),
            ("/nothing", {}),
            ("/remote", {}),
            ("/look", {}),
            ("/share", {}),
            ("/share/play.svg", {}),
            ("/song", refused),
        ):
            async with client.get(origin + path, **more) as response:
                headers = response.headers
                assert headers["X-Content-Type-Options"] == "nosniff", path
                assert headers["X-Frame-Options"] == "DENY", path
                assert headers["Cross-Origin-Resource-Policy"] == "same-origin", path
                policy = headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert "Access-Control-Allow-Origin" not in headers

    visit(visiting)


def test_ranges_are_served_one_at_a_time(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> list[int]:
        await log_in(client, origin, token)
        async with client.get(f"{origin}/song", headers={"Range": "bytes=0-99"}) as response:
            assert len(await response.read()) == 100
            one = response.status
        many = ",".join(f"{start}-{start + 1}" for start in range(0, 1000, 2))
        return [
            one,
            await status(client, f"{origin}/song", Range=f"bytes={many}"),
            await status(client, f"{origin}/song", Range="bytes=99999999999-"),
        ]

    assert visit(visiting) == [206, 416, 416]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("x" * (MAX_MESSAGE + 10), 1009),
        ("no json", 1007),
        ("[" * 5000, 1007),
        ('{"t": "nothing"}', 1007),
        ('{"t": "seek", "time": NaN, "n": 1, "credit": 1}', 1007),
        ('{"t": "credit", "n": "many"}', 1007),
        # an integer too large for a float, as a command's own number and in a list that is validated later
        (f'{{"t": "clock", "time": 1{"0" * 400}, "playing": true}}', 1007),
        (f'{{"t": "grid", "action": "tap", "taps": [-1{"0" * 400}]}}', 1007),
        ('{"t": "clock", "time": 1e999, "playing": true}', 1007),
        (b"bytes", 1003),
    ],
)
def test_wrong_messages_close_the_socket(visit: Any, message: str | bytes, code: int) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> int | None:
        await log_in(client, origin, token)
        async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as socket:
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
            while (await socket.receive(240)).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                pass
            return socket.close_code

    assert visit(visiting) == code


def test_a_flood_closes_the_socket(visit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # the rate limit of messages never refills, as if no time passed; that of logins does, since tests share the server
    monkeypatch.setattr(clients, "Allowance", lambda rate, burst: Allowance(rate, burst, clock=lambda: 0.0))

    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> int | None:
        await log_in(client, origin, token)
        async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as socket:
            # one more than are allowed: what comes after the close would reset the connection, and the code would be lost
            for _ in range(int(clients.BURST) + 1):
                await socket.send_str('{"t": "credit", "n": 0}')
            while (await socket.receive(240)).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                pass
            return socket.close_code

    assert visit(visiting) == 1008


def test_an_output_window_can_only_view(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> int | None:
        await log_in(client, origin, token)
        async with client.ws_connect(f"{origin}/ws?kind=output", headers={"Origin": origin}) as socket:
            await socket.send_str('{"t": "credit", "n": 1}')
            await socket.send_str('{"t": "change", "time": 0, "kind": "black", "value": 1}')
            while (await socket.receive(240)).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                pass
            return socket.close_code

    assert visit(visiting) == 1007


def test_a_page_is_framed_only_by_the_port_that_it_is_told_and_frames_only_its_own_host() -> None:
    plain, framed, studio = (
        Gate("127.0.0.1", 8000),
        Gate("0.0.0.0", 8001, framed_by=8000),
        Gate("::", 8000, frames=True),
    )
    assert plain.headers("127.0.0.1:8000") == HEADERS
    told = framed.headers("192.168.1.7:8001")
    assert "frame-ancestors http://192.168.1.7:8000" in told["Content-Security-Policy"]
    assert "frame-src" not in told["Content-Security-Policy"]
    assert "X-Frame-Options" not in told
    # an unknown host is told nothing
    assert framed.headers("evil.example:8001") == HEADERS
    assert framed.headers(None) == HEADERS
    policy = studio.headers("[::1]:8000")["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors 'none'; frame-src http://[::1]:*")
    assert studio.headers("[::1]:8000")["X-Frame-Options"] == "DENY"


def test_names_of_hosts() -> None:
    near, far = Gate("127.0.0.1", 8000), Gate("0.0.0.0", 8000)
    for host in ("127.0.0.1:8000", "localhost:8000", "[::1]:8000"):
        assert near.knows_host(host)
    for host in ("192.168.1.4:8000", "band.local:8000", "localhost:80", "[::1", None, "127.0.0.1:8000/x"):
        assert not near.knows_host(host)
    assert far.knows_host("192.168.1.4:8000")
    # a name may be rebound to any address, a literal address can't
    assert not far.knows_host("band.local:8000")
    assert Gate("band.local", 8000).knows_host("band.local:8000")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert Gate("127.0.0.1", 1).token != Gate("127.0.0.1", 1).token


def test_the_key_is_stored_privately_and_expires(tmp_path: Path) -> None:
    key = kept_key(tmp_path / "state", 8000)
    file = tmp_path / "state" / "preview-8000.json"
    assert kept_key(tmp_path / "state", 8000) == key
    assert kept_key(tmp_path / "state", 8001) != key
    if os.name != "nt":
        assert file.stat().st_mode & 0o077 == 0
        file.chmod(0o644)
        assert kept_key(tmp_path / "state", 8000) != key
    file.write_text(json.dumps({"made": time.time() - 8 * 86_400, "key": "k" * 40}))
    assert kept_key(tmp_path / "state", 8000) != "k" * 40
    file.write_text("[1]")
    assert len(kept_key(tmp_path / "state", 8000)) >= 32


def test_the_pages_read_no_text_as_html() -> None:
    page = Path(security.__file__).parent / "page"
    scripts = sorted(page.glob("*.js"))
    assert len(scripts) > 20
    reads = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|\beval\(|new Function"
    )
    assert [file.name for file in scripts if reads.search(file.read_text())] == []


def test_an_allowance_refills() -> None:
    allowance = Allowance(10, 3)
    allowance.updated_at = 0.0
    assert [allowance.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert allowance.take(0.11)
    assert not allowance.take(0.11)


def test_a_clients_failed_logins_do_not_limit_others() -> None:
    now = 0.0
    logins = PerAddress(1, 3, lambda: now)
    assert [logins.take("192.168.1.9") for _ in range(5)] == [True, True, True, False, False]
    assert logins.take("192.168.1.4")
    # the same host by its IPv4-mapped IPv6 address, and one that uses many addresses of its own network
    assert not logins.take("::ffff:192.168.1.9")
    assert [logins.take(f"2001:db8::{number}") for number in range(4)] == [True, True, True, False]
    assert logins.take("2001:db8:0:1::1")
    now = 1.0
    assert [logins.take("192.168.1.9") for _ in range(2)] == [True, False]
    for number in range(3000):
        logins.take(f"10.0.{number // 256}.{number % 256}")
    assert len(logins._known) <= 1024


def test_a_logged_in_client_is_not_locked_out_by_wrong_tokens(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> tuple[set[int], int]:
        await log_in(client, origin, token)
        tried = set()
        async with aiohttp.ClientSession() as stranger:
            for _ in range(3 * int(LOGIN_BURST)):
                async with stranger.post(f"{origin}/login", json={"token": "x"}, headers={"Origin": origin}) as answer:
                    tried.add(answer.status)
        async with client.post(f"{origin}/login", json={"token": ""}, headers={"Origin": origin}) as answer:
            return tried, answer.status

    tried, own = visit(visiting)
    # the number that succeeds depends on the machine's speed
    assert tried <= {403, 429}
    assert own == 200


def test_the_address_for_a_phone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Probe:
        """A socket of a machine with two networks."""

        def __init__(self, *kind: Any) -> None:
            self.target = ""

        def __enter__(self) -> Probe:
            return self

        def __exit__(self, *problem: object) -> None: ...

        def connect(self, address: tuple[str, int]) -> None:
            self.target = address[0]
            if self.target.startswith("172."):
                raise OSError("no way there")

        def getsockname(self) -> tuple[str, int]:
            return ("10.8.0.2" if self.target.startswith("10.") else "192.168.1.4"), 1

    assert local_url("0.0.0.0", 7373) == "http://127.0.0.1:7373"
    assert local_url("::", 7373) == "http://[::1]:7373"
    assert network_urls("192.168.1.4", 7373) == ("http://192.168.1.4:7373",)
    for url in network_urls("0.0.0.0", 7373):
        assert "127.0.0.1" not in url
        assert Gate("0.0.0.0", 7373).knows_host(url.removeprefix("http://"))
    monkeypatch.setattr("reactive.live.web.addresses.socket.socket", Probe)
    assert network_urls("0.0.0.0", 7373) == ("http://192.168.1.4:7373", "http://10.8.0.2:7373")


def test_a_taken_port_is_reported() -> None:
    first = bound_socket("127.0.0.1", 0)
    try:
        with pytest.raises(OutputError, match="can't listen"):
            bound_socket("127.0.0.1", first.getsockname()[1])
    finally:
        first.close()


async def issued(client: aiohttp.ClientSession, origin: str, token: str) -> str:
    """Log in, and return a newly issued MJPEG address."""
    await log_in(client, origin, token)
    async with client.post(f"{origin}/viewing", headers={"Origin": origin}) as response:
        assert response.status == 200
        return str((await response.json())["url"])


async def wake(client: aiohttp.ClientSession, origin: str) -> aiohttp.ClientWebSocketResponse:
    """Connect a page for which a picture is made."""
    socket = await client.ws_connect(f"{origin}/ws", headers={"Origin": origin})
    await socket.send_json({"t": "take over"})
    await socket.send_json({"t": "seek", "time": 1.0, "playing": False, "n": 1, "credit": 4})
    return socket


async def part(stream: aiohttp.StreamReader) -> bytes:
    """Return the next picture of an MJPEG stream."""
    head = await asyncio.wait_for(stream.readuntil(b"\r\n\r\n"), 240)
    assert BOUNDARY.encode() in head
    length = int(next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")).split(b":")[1])
    return await stream.readexactly(length)


def test_mjpeg_needs_its_own_token(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> None:
        # before an address is issued there is none; the page's token and cookie do not open the stream
        for query in ("", "?token=", f"?token={token}", "?token=None"):
            assert await status(client, f"{origin}/mjpeg{query}") == 401
        url = await issued(client, origin, token)
        assert await status(client, f"{origin}/mjpeg") == 401
        socket = await wake(client, origin)
        async with aiohttp.ClientSession() as stranger, stranger.get(url) as response:
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("multipart/x-mixed-replace")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert response.headers["Content-Security-Policy"]
            assert not stranger.cookie_jar
            picture = await part(response.content)
            assert picture[:2] == b"\xff\xd8"
            # a still picture is sent repeatedly
            assert (await part(response.content))[:2] == b"\xff\xd8"
        await socket.close()

    visit(visiting)


def test_the_mjpeg_token_opens_nothing_else_and_can_be_revoked(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> None:
        url = await issued(client, origin, token)
        own = url.partition("token=")[2]
        name = f"reactive-{urlsplit(origin).port}"
        socket = await wake(client, origin)
        async with aiohttp.ClientSession() as stranger:
            for path in ("/song", "/lanes", "/ws", "/viewing"):
                for query, cookie in ((f"?token={own}", ""), ("", f"{name}={own}")):
                    headers = {"Origin": origin, "Cookie": cookie}
                    assert await status(stranger, f"{origin}{path}{query}", **headers) in (401, 405)
            for method in ("POST", "DELETE"):
                async with stranger.request(
                    method, f"{origin}/viewing?token={own}", headers={"Origin": origin}
                ) as answer:
                    assert answer.status == 401
                async with stranger.request(method, url, headers={"Origin": origin}) as answer:
                    assert answer.status == 405
            async with stranger.post(f"{origin}/login", json={"token": own}, headers={"Origin": origin}) as answer:
                assert answer.status in (403, 429)
            # names and origins are checked here too
            assert await status(stranger, url, Host="evil.example") == 403
            assert await status(stranger, url, Origin="null") == 403
            assert await status(stranger, url, **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}) == 403
            async with stranger.get(url) as response:
                await part(response.content)
                async with client.delete(f"{origin}/viewing", headers={"Origin": origin}) as answer:
                    assert answer.status == 200
                # a running stream ends at once
                await asyncio.wait_for(response.content.read(), 240)
            assert await status(stranger, url) == 401
            again = await issued(client, origin, token)
            assert again != url
            assert await status(stranger, url) == 401
        await socket.close()

    visit(visiting)


def test_the_number_of_streams_is_limited(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> int:
        url = await issued(client, origin, token)
        streams: list[aiohttp.ClientResponse] = []
        async with asyncio.timeout(240):
            while len(streams) < MAX_STREAMS:
                stream = await client.get(url)
                if stream.status == 200:
                    streams.append(stream)
                else:
                    # an already open stream has not noticed yet that its address was revoked
                    stream.close()
                    await asyncio.sleep(0.05)
        last = await status(client, url)
        for stream in streams:
            stream.close()
        return last

    assert visit(visiting) == 503


def test_the_number_of_pages_is_limited(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> int:
        await log_in(client, origin, token)
        sockets = []
        try:
            while len(sockets) < MAX_CLIENTS + 3:
                sockets.append(await client.ws_connect(f"{origin}/ws", headers={"Origin": origin}))
        except aiohttp.WSServerHandshakeError as problem:
            return problem.status
        finally:
            for socket in sockets:
                await socket.close()
        return 0

    assert visit(visiting) == 503


def test_the_rate_of_login_attempts_is_limited(serving: Any, stopped: None) -> None:
    # a server of its own, because afterwards logins are blocked
    with serving() as (address, _):
        origin = f"http://127.0.0.1:{address.port}"

        async def attempts() -> list[int]:
            found = []
            async with aiohttp.ClientSession() as client:
                for _ in range(int(LOGIN_BURST) + 10):
                    async with client.post(
                        f"{origin}/login", json={"token": "x"}, headers={"Origin": origin}
                    ) as answer:
                        found.append(answer.status)
            return found

        assert asyncio.run(attempts()) == [403] * int(LOGIN_BURST) + [429] * 10


def test_a_page_can_not_choose_the_path_of_a_take(visit: Any, served: Any, tmp_path: Path) -> None:
    goal = tmp_path / "stolen.json"

    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> str:
        await log_in(client, origin, token)
        async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as socket:
            data = {"t": "save take", "path": str(goal), "name": "../stolen", "takes": str(tmp_path)}
            await socket.send_json(data)
            async with asyncio.timeout(240):
                while (message := await socket.receive()).type != aiohttp.WSMsgType.TEXT or message.json()[
                    "t"
                ] != "saved":
                    pass
            return str(message.json()["path"])

    saved = Path(visit(visiting))
    assert saved.parent == served[1]
    assert not list(tmp_path.iterdir())
    saved.unlink()


def test_it_binds_only_the_loopback(served: Any) -> None:
    address, _ = served
    assert address.host == "127.0.0.1"
    assert not address.open
    own = bound_socket("127.0.0.1", 0)
    assert own.getsockname()[0] == "127.0.0.1"
    own.close()


def test_other_machines_need_the_token_too(serving: Any) -> None:
    with serving(host="0.0.0.0") as (address, _):
        assert address.open
        parts = urlsplit(address.url)
        assert len(parts.fragment) >= 32

        async def whole() -> list[int]:
            async with aiohttp.ClientSession() as client:
                origin = f"http://127.0.0.1:{address.port}"
                found = [
                    await status(client, origin + path, Origin=origin) for path in ("/song", "/lanes", "/ws", "/mjpeg")
                ]
                return [*found, await status(client, f"{origin}/", Host=f"evil.example:{address.port}")]

        assert asyncio.run(whole()) == [401, 401, 401, 401, 403]


def test_the_osc_listener_binds_the_loopback() -> None:
    pytest.importorskip("pythonosc", reason="the extra [osc] is not installed")
    from reactive.live.control.external_io import ExternalIO, ExternalIOOptions
    from reactive.live.control.osc import parse_address

    external_io = ExternalIO(ExternalIOOptions(osc_in=parse_address("0", "--osc-in")))
    assert external_io._osc_socket is not None
    assert external_io._osc_socket.getsockname()[0] == "127.0.0.1"
    external_io.close()
