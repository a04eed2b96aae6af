"""Make the README's picture of the studio: ``python -m training.studio_picture`` (Chromium and selenium)."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SIZE = (1280, 800)
SHOT = 1


def main() -> None:
    """Open a studio with the bundled song, select a shot, and write ``docs/studio.webp``."""
    from tests.live.browser import browsing, until

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        environment = {**os.environ, "HOME": folder, "XDG_STATE_HOME": folder, "PYTHONPATH": str(ROOT)}
        command = [
            sys.executable,
            "-m",
            "reactive",
            "studio",
            str(place / "first-light"),
            "--no-open",
            "--json",
            "--port",
            "0",
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["url"]
        try:
            with browsing(place / "profile", size=SIZE) as driver:
                view = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False}
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", view)
                driver.get(address)
                until(lambda: driver.execute_script("return Boolean(window.studio && studio.state)"))
                driver.find_element("id", "song-file").send_keys(str(ROOT / "reactive/data/first-light.ogg"))
                until(lambda: driver.execute_script("return Boolean(studio.lanes && studio.lanes.shots)"))
                driver.find_element("id", "tab-timeline").click()
                driver.execute_script("studio.timeline.choose(arguments[0]); studio.listening.seek(9.4)", SHOT)
                driver.execute_async_script("setTimeout(arguments[0], 600)")
                picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
        finally:
            process.terminate()
            process.wait()
    picture.crop((0, 0, SIZE[0], 700)).save(ROOT / "docs/studio.webp", quality=88)


if __name__ == "__main__":
    main()
