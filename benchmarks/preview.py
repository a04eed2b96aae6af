"""Measure the preview: a client that counts pictures, many clients, and the page in Chromium.

    python -m benchmarks preview [--model ember] [--seconds 60] [--song FILE] [--threads N] [--no-browser]
    python -m benchmarks preview --soak 15 [--busy 4]
    python -m benchmarks preview --evening 10 [--hurry]
    python -m benchmarks preview --crash 4

Needs the extras [preview] and [test]; the page needs Chromium and its driver. `--soak MINUTES` plays in Chromium with other
processes at full load and an edit every 10 s, and prints the longest standstill and the server's memory; with `--no-browser`
it prints only the memory, with seeks, edits and clients that disconnect. `--evening MINUTES` plays a set list of four songs
at six times its speed, without a browser, with an edit every five seconds, and prints the memory at the end of each song. A
seek into a feedback shot goes back to its start, so 10 minutes are half an hour to an hour of music. With `--hurry` the next song
comes after five seconds, so there are many changes of songs. `--crash N` kills the engine while the song plays, N times, and prints how
long the picture stands still.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

# MB by which memory may grow from the middle third of a soak to the last
MAX_GROWTH = 25.0
# MB by which the largest of a round through a set list may grow
MAX_ROUNDS = 50.0
# shares of the song that have not been played and so have no pictures yet
UNPLAYED = (0.75, 0.2, 0.85, 0.35, 0.92, 0.05)
CROWDED = 0.28
SECONDS = 266.0


def resident(process: int) -> float:
    """Return a process's resident memory in MB; 0 if the system does not provide it."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def bar(name: str, value: float, unit: str, *, least: float | None = None, most: float | None = None) -> bool:
    """Print a figure and its bar; return whether it is met."""
    met = (least is None or value >= least) and (most is None or value <= most)
    limit = f"at least {least:g}" if least is not None else f"at most {most:g}"
    print(f"{name:<48}{value:9.2f} {unit:<5} {limit:<14} {'met' if met else 'MISSED'}", flush=True)
    return met


async def counted(url: str, seconds: float) -> None:
    """Measure with clients that only count pictures, one alone and many."""
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
        seeks = [await player.until_shown(player.duration * share, playing=True) for share in UNPLAYED]
        bar("slowest of six seeks while it plays", max(seeks), "s", most=1.0)
        print(f"{'late pictures so far':<48}{player.late:9.0f}       of {player.pictures}", flush=True)
        ending = asyncio.Event()
        looking = [asyncio.create_task(look(url, ending)) for _ in range(8)]
        slow = asyncio.create_task(look(url, ending, nap=0.3))
        gone = asyncio.create_task(vanish(url, ending))
        await player.play(2.0)
        crowd = await player.play(max(seconds / 2, 10.0))
        bar("pictures/s with 8 viewers, slow and disconnecting ones", crowd, "1/s", least=0.85 * alone)
        seek = await player.until_shown(player.duration * CROWDED, playing=True)
        bar("a seek with these clients", seek, "s", most=1.0)
        ending.set()
        came = await asyncio.gather(*looking)
        print(
            f"{'pictures of a viewer':<48}{min(came):9.0f}       to {max(came)}; the slow one {await slow}, "
            f"{await gone} disconnected"
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
    """Print the server's memory over time, and whether it stays constant."""
    from benchmarks.preview_clients import soak

    print(f"{'minutes':>8}{'MB':>10}{'pictures':>10}")

    def report(passed: float, mb: float, pictures: int) -> None:
        print(f"{passed:8.1f}{mb:10.1f}{pictures:10}", flush=True)

    curve = asyncio.run(soak(url, minutes, lambda: resident(process), report))
    third = len(curve) // 3
    if third:
        middle, last = (sorted(mb for _, mb in part)[third // 2] for part in (curve[third : 2 * third], curve[-third:]))
        bar("memory growth from the middle third to the last", last - middle, "MB", most=MAX_GROWTH)


def soaked_evening(url: str, process: int, minutes: float, hurried: bool) -> None:
    """Print the server's memory at the end of each song, and whether it stays constant after the first round."""
    from benchmarks.preview_clients import SONGS, evening

    print(f"{'of music':>8}{'MB':>10}{'pictures':>10}")

    def report(passed: float, mb: float, pictures: int) -> None:
        print(f"{passed:8.1f}{mb:10.1f}{pictures:10}", flush=True)

    curve, songs, music = asyncio.run(evening(url, minutes, lambda: resident(process), report, hurried=hurried))
    print(f"{songs} songs begun, {music:.0f} minutes of music")
    third = len(curve) // 3
    if third:
        middle, last = (sorted(mb for _, mb in part)[third // 2] for part in (curve[third : 2 * third], curve[-third:]))
        bar("memory growth from the middle third to the last", last - middle, "MB", most=MAX_GROWTH)
    rounds = [max(mb for _, mb in curve[at : at + SONGS]) for at in range(0, len(curve) - SONGS + 1, SONGS)]
    if len(rounds) > 2:
        print("largest of each round, MB: " + " ".join(f"{mb:.0f}" for mb in rounds))
        bar("growth from the second round to the last", rounds[-1] - rounds[1], "MB", most=MAX_ROUNDS)


def crashed(song: Path, folder: Path, count: int, **settings: object) -> None:
    """Print how long the picture stands still after the engine was killed."""
    from benchmarks.preview_crash import crashes, serving

    with serving(song, folder, **settings) as url:
        back, stood = asyncio.run(crashes(url, count))
    print("seconds to the next picture made: " + " ".join(f"{seconds:.2f}" for seconds in back))
    bar("slowest return after a crash of the engine", max(back), "s", most=5.0)
    bar("longest standstill at the playhead after it", max(stood), "s", most=5.0)


def set_list(folder: Path) -> Path:
    """Write a set list of four songs, and return its file."""
    import soundfile

    from benchmarks.first_light import RATE
    from benchmarks.material import long_song
    from benchmarks.preview_clients import SONGS

    text = 'title = "Evening"\nending = "pictures"\n'
    whole = long_song(100.0 + 20 * SONGS)
    for number in range(SONGS):
        samples = whole[20 * number * RATE :][: (80 + 20 * number) * RATE]
        soundfile.write(folder / f"song {number}.wav", samples, RATE, subtype="PCM_16")
        preset = ("loop-destroy", "drift", "warehouse", "forge")[number % 4]
        text += f'\n[[song]]\nfile = "song {number}.wav"\npreset = "{preset}"\n'
    (folder / "evening.toml").write_text(text)
    return folder / "evening.toml"


def soaked_page(url: str, folder: Path, process: int, minutes: float, others: int) -> None:
    """Print the longest standstill on a busy machine, and the growth of the server's memory."""
    from benchmarks.preview_soak import SETTLED, soak_page

    found = soak_page(url, folder, minutes, others, lambda: resident(process), lambda line: print(line, flush=True))
    share = 100 * found.late / (60 * minutes)
    print(
        f"{found.pictures} new pictures, {found.edits} edits, {others} other busy processes; "
        f"message of being late for {share:.1f} % of the time"
    )
    bar("longest time without movement on the screen", found.stillest, "s", most=3.0)
    bar("longest time without a new picture", found.longest, "s", most=3.0)
    if minutes > SETTLED + 1:
        bar(f"growth of server memory after minute {SETTLED:.0f}", found.grown, "MB", most=50.0)


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
    parser.add_argument("--song", type=Path, help="default: a generated one of 4 min 26 s")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each measurement plays")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--no-browser", action="store_true")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="measure standstills and memory for this time")
    parser.add_argument("--evening", type=float, metavar="MINUTES", help="measure memory over many songs for this time")
    parser.add_argument("--hurry", action="store_true", help="with --evening: the next song after five seconds")
    parser.add_argument("--crash", type=int, metavar="N", help="kill the engine N times while the song plays")
    parser.add_argument("--busy", type=int, default=4, help="with --soak: number of other busy processes")
    options = parser.parse_args(arguments)
    from tests.live.browser import chromium, previewing

    server_options = ("--model", options.model, "--preset", options.preset, "--threads", str(options.threads))
    with tempfile.TemporaryDirectory() as name:
        song = set_list(Path(name)) if options.evening else options.song or _composed(Path(name) / "song.wav")
        if options.crash:
            crashed(
                song.resolve(),
                Path(name),
                options.crash,
                model=options.model,
                preset=options.preset,
                threads=options.threads,
            )
            return
        runs = ["evening"] if options.evening else ["soak"] if options.soak else ["clients", "page"]
        for what in runs:
            if what == "page" and (options.no_browser or chromium() is None):
                print(
                    "the page is not measured: "
                    + ("not asked for" if options.no_browser else "no Chromium with its driver")
                )
                continue
            folder = Path(name) / what
            folder.mkdir()
            with previewing(song.resolve(), folder, *server_options) as (url, process):
                before = resident(process.pid)
                if what == "soak" and not options.no_browser and chromium() is not None:
                    soaked_page(url, folder, process.pid, options.soak, options.busy)
                elif what == "evening":
                    soaked_evening(url, process.pid, options.evening, options.hurry)
                elif what == "soak":
                    soaked(url, process.pid, options.soak)
                elif what == "page":
                    measured(url, folder, options.seconds)
                else:
                    asyncio.run(counted(url, options.seconds))
                print(
                    f"{'server memory before, MB':<48}{before:9.0f}       after {resident(process.pid):.0f}", flush=True
                )
