"""``python -m benchmarks.studio``: frame times of the studio's timeline while it scrolls and zooms.

The page gets a song of ten minutes with 1,000 shots, which is then scrolled and zoomed at every frame for some seconds. Prints
the median and 95th percentile of the time between frames, and of the time to draw one (bar: p95 of 20 ms).
"""

from __future__ import annotations

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
studio.go("timeline");
"""
MEASURE = """
const done = arguments[arguments.length - 1], zoom = arguments[0], line = studio.timeline, between = [];
line.fit(); line.frames.length = 0; line.move(0, zoom ? 600 : 45);
let last = 0, step = 0;
const go = (now) => {
  if (last) between.push(now - last);
  last = now;
  if (++step > 360) { done([between, line.frames.slice()]); return; }
  if (zoom) line.zoom(step % 120 < 60 ? 0.93 : 1 / 0.93, 500); else line.move(step * 1.5, 45);
  requestAnimationFrame(go);
};
requestAnimationFrame(go);
"""


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    """Measure and print."""
    from tests.live.browser import browsing, until

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
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
                driver.get(address)
                until(lambda: driver.execute_script("return Boolean(window.studio && studio.state)"))
                driver.execute_script(MAKE, count)
                for name, zoom in (("scroll", False), ("zoom", True)):
                    between, drawing = driver.execute_async_script(MEASURE, zoom)
                    print(
                        f"{name:<7} {count} shots: frames every {_percentile(between, 0.5):.1f} ms, p95 "
                        f"{_percentile(between, 0.95):.1f} ms; "
                        f"drawn in {_percentile(drawing, 0.5):.1f} ms, p95 {_percentile(drawing, 0.95):.1f} ms"
                    )
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
