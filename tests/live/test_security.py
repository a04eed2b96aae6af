"""Who gets in: names, origins, token, cookie, paths, limits, headers."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from reactive.errors import OutputError
from reactive.live.protocol import MAX_MESSAGE
from reactive.live.security import Allowance, Gate, is_loopback, kept_key
from reactive.live.server import bound_socket

Visit = Callable[[aiohttp.ClientSession, str, str], Awaitable[Any]]


@pytest.fixture
def visit(served: Any) -> Callable[[Visit], Any]:
    """Run a visit: a coroutine of a client session, the server's origin and the token."""
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
        # one server serves all tests, and lets nobody try tokens as fast as they come
        if answer.status != 429:
            return answer
        await asyncio.sleep(0.2)


async def status(client: aiohttp.ClientSession, url: str, **headers: str) -> int:
    async with client.get(url, headers=headers) as response:
        return response.status


def test_the_token_buys_a_cookie_that_scripts_and_other_sites_do_not_get(visit: Any) -> None:
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


@pytest.mark.parametrize("path", ["/song", "/lanes", "/ws", "/song?token=x", "/unknown"])
def test_nothing_without_the_cookie(visit: Any, path: str) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> int:
        return await status(client, origin + path, Origin=origin, Cookie="reactive-1=guess")

    assert visit(visiting) == 401


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
        return [await status(client, origin + path, Host=name) for path in ("/", "/song")]

    # an empty Host is refused by the parser already
    assert set(visit(visiting)) <= {403, 400}


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://127.0.0.1:1", "http://localhost", "HTTPS"])
def test_foreign_and_null_origins_are_refused(visit: Any, origin: str) -> None:
    async def visiting(client: aiohttp.ClientSession, ours: str, token: str) -> list[int]:
        theirs = ours.replace("http:", "https:") if origin == "HTTPS" else origin
        await log_in(client, ours, token)
        found = [await status(client, ours + path, Origin=theirs) for path in ("/", "/song", "/lanes", "/ws")]
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
        "/page/../server.py", "/page/%2e%2e/server.py", "/page/..%2fserver.py", "/page/%2e%2e%2fserver.py", "/page/..%5cserver.py",
        "/page/%252e%252e%252fserver.py", "/page//etc/passwd", "/page/%2fetc%2fpasswd", "/page/main.js%00.html", "/page/.",
        "/../../etc/passwd",
    ],
)  # fmt: skip
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
        (b"bytes", 1003),
    ],
)
def test_wrong_messages_close_the_socket(visit: Any, message: str | bytes, code: int) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> int | None:
        await log_in(client, origin, token)
        async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as socket:
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
            while (await socket.receive(60)).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                pass
            return socket.close_code

    assert visit(visiting) == code


def test_a_flood_closes_the_socket(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> int | None:
        await log_in(client, origin, token)
        async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as socket:
            for _ in range(3000):
                if socket.closed:
                    break
                try:
                    await socket.send_str('{"t": "credit", "n": 0}')
                except ConnectionError:
                    break
            while (await socket.receive(60)).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                pass
            return socket.close_code

    assert visit(visiting) == 1008


def test_an_output_window_only_looks(visit: Any) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str, token: str) -> int | None:
        await log_in(client, origin, token)
        async with client.ws_connect(f"{origin}/ws?kind=output", headers={"Origin": origin}) as socket:
            await socket.send_str('{"t": "credit", "n": 1}')
            await socket.send_str('{"t": "change", "time": 0, "kind": "black", "value": 1}')
            while (await socket.receive(60)).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                pass
            return socket.close_code

    assert visit(visiting) == 1007


def test_names_of_hosts() -> None:
    near, far = Gate("127.0.0.1", 8000), Gate("0.0.0.0", 8000)
    for host in ("127.0.0.1:8000", "localhost:8000", "[::1]:8000"):
        assert near.knows_host(host)
    for host in ("192.168.1.4:8000", "band.local:8000", "localhost:80", "[::1", None, "127.0.0.1:8000/x"):
        assert not near.knows_host(host)
    assert far.knows_host("192.168.1.4:8000")
    # a name may be rebound to any address, a literal address may not
    assert not far.knows_host("band.local:8000")
    assert Gate("band.local", 8000).knows_host("band.local:8000")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert Gate("127.0.0.1", 1).token != Gate("127.0.0.1", 1).token


def test_the_key_is_kept_privately_for_a_while(tmp_path: Path) -> None:
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


def test_an_allowance_refills() -> None:
    allowance = Allowance(10, 3)
    allowance.told = 0.0
    assert [allowance.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert allowance.take(0.11)
    assert not allowance.take(0.11)


def test_a_port_that_is_taken_is_said() -> None:
    first = bound_socket("127.0.0.1", 0)
    try:
        with pytest.raises(OutputError, match="can't listen"):
            bound_socket("127.0.0.1", first.getsockname()[1])
    finally:
        first.close()
