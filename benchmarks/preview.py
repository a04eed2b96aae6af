"""How the preview fares: a client that counts pictures, and a page in a real Chromium that measures sound against picture.

    python -m benchmarks preview [--model ember] [--seconds 20] [--song FILE] [--no-browser]

Needs the extras [preview] and [test]; for the page Chromium and its driver. `--seconds 1800` is a soak: memory is printed too.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent


def resident(process: int) -> float:
    """Return a process's resident memory in MB; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


async def count(url: str, seconds: float) -> dict[str, float]:
    """Play for a while as a client that only counts; then seek to and fro."""
    import aiohttp

    from reactive.live.protocol import unpack_picture

    parts = urlsplit(url)
    origin = f"http://{parts.netloc}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        await client.post(f"{origin}/login", json={"token": parts.fragment}, headers={"Origin": origin})
        async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}, max_msg_size=0) as socket:
            while (await socket.receive_json())["t"] != "role":
                pass
            duration = 20.0
            asked, began, base, seeks = 1, time.monotonic(), 0.0, []
            await socket.send_json({"t": "seek", "time": 0.0, "playing": True, "n": 1, "credit": 240})
            got, late, first, moved = 0, 0, None, None
            told = began
            while time.monotonic() - began < seconds:
                now = time.monotonic()
                if now - told > 0.1:
                    there = base + now - began
                    if there > duration:
                        # once round: a seek to the start
                        base -= duration
                        asked, moved = asked + 1, now
                        await socket.send_json({"t": "seek", "time": 0.0, "playing": True, "n": asked, "credit": 240})
                    else:
                        await socket.send_json({"t": "clock", "time": there, "playing": True})
                    told = now
                try:
                    message = await asyncio.wait_for(socket.receive(), 0.05)
                except TimeoutError:
                    continue
                if message.type != aiohttp.WSMsgType.BINARY:
                    continue
                _, _, song_time, _ = unpack_picture(message.data)
                now = time.monotonic()
                got += 1
                late += song_time < base + now - began - 0.05
                first = now - began if first is None else first
                if moved is not None:
                    seeks.append(now - moved)
                    moved = None
                await socket.send_json({"t": "credit", "n": 1})
            passed = time.monotonic() - began
    return {
        "pictures/s": got / passed, "late": float(late), "first picture s": first or float("nan"),
        "slowest seek s": max(seeks, default=float("nan")),
    }  # fmt: skip


def watch(url: str, folder: Path, seconds: float) -> dict[str, float]:
    """Play in Chromium and let the page measure."""
    from tests.live.browser import browsing, until

    with browsing(folder / "profile") as driver:
        driver.get(url)
        until(
            lambda: driver.execute_script(
                "return Boolean(window.reactive && reactive.lanes.data && reactive.pictures.drawn)"
            ),
            60,
        )
        driver.execute_script("reactive.pictures.offsets = []; reactive.pictures.drawn = 0; reactive.toggle()")
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            time.sleep(0.5)
            driver.execute_script("if (reactive.audio.ended) reactive.toggle()")
        drawn, offsets = driver.execute_script("return [reactive.pictures.drawn, reactive.pictures.offsets]")
        passed = time.monotonic() - began
        seeks = []
        for target in (3.0, 15.0, 9.0, 1.0):
            before = time.monotonic()
            driver.execute_script("reactive.seek(arguments[0])", target)
            until(lambda: driver.execute_script("return Boolean(reactive.pictures.shown)"), 60)
            seeks.append(time.monotonic() - before)
        absolute = sorted(map(abs, offsets))
        return {
            "shown pictures/s": drawn / passed,
            "A/V offset median ms": absolute[len(absolute) // 2] if absolute else float("nan"),
            "A/V offset p95 ms": absolute[int(0.95 * len(absolute))] if absolute else float("nan"),
            "slowest seek s": max(seeks),
        }


def main(arguments: list[str]) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks preview", description=__doc__)
    parser.add_argument("--model", default="ember")
    parser.add_argument("--song", type=Path, default=ROOT / "reactive" / "data" / "first-light.ogg")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--no-browser", action="store_true")
    chosen = parser.parse_args(arguments)
    from tests.live.browser import chromium, previewing

    with tempfile.TemporaryDirectory() as name:
        for what in ("counting client", "page"):
            if what == "page" and (chosen.no_browser or chromium() is None):
                continue
            folder = Path(name) / what.replace(" ", "-")
            folder.mkdir()
            with previewing(chosen.song.resolve(), folder, "--model", chosen.model) as (url, process):
                before = resident(process.pid)
                found = (
                    asyncio.run(count(url, chosen.seconds))
                    if what == "counting client"
                    else watch(url, folder, chosen.seconds)
                )
                print(f"{what}: " + ", ".join(f"{key} {value:.2f}" for key, value in found.items()))
                print(f"  server's memory {before:.0f} MB before, {resident(process.pid):.0f} MB after")
