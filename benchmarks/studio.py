"""Measure the studio's page in Chromium: until it is there, and the time between its own frames while the timeline scrolls and zooms.

    python -m benchmarks studio [--shots 1000] [--ratio 1] [--bare]

Prints the slowest of five loads of the page, from the request until all of it is painted and has its project (bar: 1 s). Then it
gets a song of ten minutes, which is scrolled and zoomed at every frame for some seconds. Prints the median and the
95th percentile of the time between frames (bar: 20 ms), and of the time to draw one. `--bare` measures frames in which
nothing is drawn: what the machine and its browser can do at best.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAKE = """
const duration = 600, count = arguments[0], fps = 24, beats = [], bars = [], shots = [];
for (let at = 0; at < duration; at += 0.5) { beats.push(at); if (beats.length % 4 === 1) bars.push(at); }
for (let one = 0; one < count; one++) shots.push({
  name: `section ${1 + Math.floor(one / 40)} / shot ${1 + one % 40}`, start: one * duration / count, end: (one + 1) * duration / count,
  prompts: ["a white door in the sea at night, ink and watercolour on paper"], grounds: ["sea-cliff"], seed: one, photo: "", moved: 0,
});
const peaks = Array.from({length: 4000}, (_, at) => Math.abs(Math.sin(at / 7) * Math.cos(at / 331)));
const sections = Array.from({length: 15}, (_, at) => ({start: at * 40, end: at * 40 + 40, label: "ABC"[at % 3], energy: 0.5}));
studio.timeline.set({
  song: {duration, peaks, loudness: peaks, beats, bars, sections}, fps, frames: duration * fps,
  phases: ["build", "bloom", "destroy"], phase: Array.from({length: 60}, (_, at) => [at * 240, at % 3]), shots,
});
for (const id of ["timeline-bar", "lane-box", "shot"]) document.getElementById(id).hidden = false;
document.getElementById("timeline-empty").hidden = true;
studio.go("timeline");
"""
# milliseconds from the request until the project is there, and until the first text is painted
LOADED = (
    "return Math.max(studio.state.at, performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Infinity)"
)
MEASURE = """
const done = arguments[arguments.length - 1], how = arguments[0], line = studio.timeline, between = [];
line.fit(); line.move(0, how === "zoom" ? 600 : 45); line.frames.length = 0;
let last = 0, step = 0;
const go = (now) => {
  if (last) between.push(now - last);
  last = now;
  if (++step > 360) { done([between, line.frames.slice()]); return; }
  if (how === "zoom") line.zoom(step % 120 < 60 ? 0.93 : 1 / 0.93, 500);
  if (how === "scroll") line.move(step * 1.5, 45);
  requestAnimationFrame(go);
};
requestAnimationFrame(go);
"""


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main(arguments: list[str]) -> None:
    """Measure and print."""
    from benchmarks.preview import bar
    from tests.live.browser import browsing, until

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks studio", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shots", type=int, default=1000)
    parser.add_argument("--ratio", type=float, default=1.0, help="pixels of the screen for one of the page")
    parser.add_argument("--bare", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        environment = {**os.environ, "HOME": folder, "XDG_STATE_HOME": folder, "PYTHONPATH": str(ROOT)}
        command = [
            sys.executable,
            "-m",
            "reactive",
            "studio",
            str(place / "clip"),
            "--no-open",
            "--json",
            "--port",
            "0",
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["url"]
        try:
            with browsing(place / "profile", size=(1440, 900)) as driver:
                view = {"width": 1440, "height": 900, "deviceScaleFactor": options.ratio, "mobile": False}
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", view)
                loads = []
                for _ in range(5):
                    driver.get(address if not loads else address.split("#")[0])
                    until(lambda: driver.execute_script("return Boolean(window.studio && studio.state)"))
                    loads.append(until(lambda: driver.execute_script(LOADED)))
                print("loads of the page, ms: " + " ".join(f"{took:.0f}" for took in loads))
                bar("slowest load of the first page", max(loads), "ms", most=1000.0)
                driver.execute_script(MAKE, options.shots)
                for how in ("bare",) if options.bare else ("scroll", "zoom"):
                    between, drawing = driver.execute_async_script(MEASURE, how)
                    assert drawing or how == "bare", "nothing was drawn"
                    print(
                        f"{how}, {options.shots} shots: frames every {_percentile(between, 0.5):.1f} ms; "
                        f"drawn in {_percentile(drawing or [0.0], 0.5):.1f} ms, p95 {_percentile(drawing or [0.0], 0.95):.1f} ms"
                    )
                    bar(f"{how}: time between frames, p95", _percentile(between, 0.95), "ms", most=20.0)
        finally:
            process.terminate()
            process.wait()
