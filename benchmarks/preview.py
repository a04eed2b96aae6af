"""How the preview fares against its bars: a client that counts pictures, crowds, and a page in a real Chromium.

    python -m benchmarks preview [--model ember] [--seconds 60] [--song FILE] [--threads N] [--no-browser]
    python -m benchmarks preview --soak 15 [--busy 4]

Needs the extras [preview] and [test]; for the page Chromium and its driver. `--soak MINUTES` plays in Chromium with busy
processes beside it and an edit every 10 s, and prints the longest stand-still and the server's memory; with `--no-browser` it
prints the memory alone, with seeks, edits and pages that vanish.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

# how much more memory the last third of a soak may take than the one before it, in MB
FLAT = 25.0
# shares of the song at which nothing has played before, and so nothing is imagined yet
FRESH = (0.75, 0.2, 0.85, 0.35, 0.92, 0.05)
CROWDED = 0.28
SECONDS = 266.0


def resident(process: int) -> float:
    """Return a process's resident memory in MB; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def bar(name: str, value: float, unit: str, *, least: float | None = None, most: float | None = None) -> bool:
    """Print a figure beside its bar; return whether it is met."""
    met = (least is None or value >= least) and (most is None or value <= most)
    wanted = f"at least {least:g}" if least is not None else f"at most {most:g}"
    print(f"{name:<48}{value:9.2f} {unit:<5} {wanted:<14} {'met' if met else 'MISSED'}", flush=True)
    return met


async def counted(url: str, seconds: float) -> None:
    """Measure with clients that only count, alone and in a crowd."""
    from benchmarks.preview_clients import Player, connected, look, vanish

    async with connected(url) as socket:
        player = Player(socket)
        await player.ready()
        # the first batch warms the model
        await player.until_shown(0.0, playing=False)
        first = await player.until_shown(player.duration * 0.45, playing=True)
        bar("first picture after play, warm model", first, "s", most=2.0)
        alone = await player.play(seconds)
        bar("pictures/s, counting client", alone, "1/s", least=20.0)
        seeks = [await player.until_shown(player.duration * share, playing=True) for share in FRESH]
        bar("slowest of six seeks while it plays", max(seeks), "s", most=1.0)
        print(f"{'late pictures so far':<48}{player.late:9.0f}       of {player.pictures}", flush=True)
        ending = asyncio.Event()
        looking = [asyncio.create_task(look(url, ending)) for _ in range(8)]
        slow = asyncio.create_task(look(url, ending, nap=0.3))
        gone = asyncio.create_task(vanish(url, ending))
        await player.play(2.0)
        crowd = await player.play(max(seconds / 2, 10.0))
        bar("pictures/s with 8 viewers, a slow and vanishing ones", crowd, "1/s", least=0.85 * alone)
        seek = await player.until_shown(player.duration * CROWDED, playing=True)
        bar("a seek in that crowd", seek, "s", most=1.0)
        ending.set()
        came = await asyncio.gather(*looking)
        print(
            f"{'a viewer got pictures':<48}{min(came):9.0f}       to {max(came)}; the slow one {await slow}, {await gone} vanished"
        )


def measured(url: str, folder: Path, seconds: float) -> None:
    """Measure in the page."""
    from benchmarks.preview_page import watch

    found = watch(url, folder, seconds)
    bar("new pictures/s shown in Chromium", found["shown"], "1/s", least=12.0)
    bar("first picture after play in Chromium", found["first"], "s", most=2.0)
    bar(
        f"|A/V offset| p95, {found['measured']:.0f} pictures, median {found['median']:.1f}",
        found["offset"],
        "ms",
        most=40.0,
    )
    bar("slowest of six seeks in Chromium", found["seek"], "s", most=1.0)


def soaked(url: str, process: int, minutes: float) -> None:
    """Print the server's memory over time, and whether it stays flat."""
    from benchmarks.preview_clients import soak

    print(f"{'minutes':>8}{'MB':>10}{'pictures':>10}")

    def report(passed: float, mb: float, pictures: int) -> None:
        print(f"{passed:8.1f}{mb:10.1f}{pictures:10}", flush=True)

    curve = asyncio.run(soak(url, minutes, lambda: resident(process), report))
    third = len(curve) // 3
    if third:
        middle, last = (sorted(mb for _, mb in part)[third // 2] for part in (curve[third : 2 * third], curve[-third:]))
        bar("memory of the last third over the one before", last - middle, "MB", most=FLAT)


def soaked_page(url: str, folder: Path, process: int, minutes: float, others: int) -> None:
    """Print how long the picture stood still on a busy machine, and how the server's memory grew."""
    from benchmarks.preview_soak import SETTLED, soak_page

    found = soak_page(url, folder, minutes, others, lambda: resident(process), lambda line: print(line, flush=True))
    share = 100 * found.late / (60 * minutes)
    print(
        f"{found.pictures} new pictures, {found.edits} edits, {others} busy processes beside it; said it was late for {share:.1f} %"
    )
    bar("longest without any movement on the screen", found.stillest, "s", most=3.0)
    bar("longest without a new picture", found.longest, "s", most=3.0)
    if minutes > SETTLED + 1:
        bar(f"server memory grown after minute {SETTLED:.0f}", found.grown, "MB", most=50.0)


def _composed(path: Path) -> Path:
    import soundfile

    from benchmarks.first_light import RATE
    from benchmarks.material import long_song

    soundfile.write(path, long_song(SECONDS), RATE, subtype="PCM_16")
    return path


def main(arguments: list[str]) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks preview", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ember")
    parser.add_argument("--preset", default="loop-destroy")
    parser.add_argument("--song", type=Path, help="default: one of 4 min 26 s, composed for this")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each measurement plays")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--no-browser", action="store_true")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="stand-stills and memory, over so many minutes")
    parser.add_argument("--busy", type=int, default=4, help="with --soak: processes that compute beside it")
    chosen = parser.parse_args(arguments)
    from tests.live.browser import chromium, previewing

    options = ("--model", chosen.model, "--preset", chosen.preset, "--threads", str(chosen.threads))
    with tempfile.TemporaryDirectory() as name:
        song = chosen.song or _composed(Path(name) / "song.wav")
        runs = ["soak"] if chosen.soak else ["clients", "page"]
        for what in runs:
            if what == "page" and (chosen.no_browser or chromium() is None):
                print(
                    "the page is not measured: "
                    + ("not asked for" if chosen.no_browser else "no Chromium with its driver")
                )
                continue
            folder = Path(name) / what
            folder.mkdir()
            with previewing(song.resolve(), folder, *options) as (url, process):
                before = resident(process.pid)
                if what == "soak" and not chosen.no_browser and chromium() is not None:
                    soaked_page(url, folder, process.pid, chosen.soak, chosen.busy)
                elif what == "soak":
                    soaked(url, process.pid, chosen.soak)
                elif what == "page":
                    measured(url, folder, chosen.seconds)
                else:
                    asyncio.run(counted(url, chosen.seconds))
                print(
                    f"{'server memory before, MB':<48}{before:9.0f}       after {resident(process.pid):.0f}", flush=True
                )
