"""Make the README's pictures: ``python -m training.make_pictures``.

The bundled song is rendered with loop-destroy and ember. Twelve evenly spaced frames become
`reactive/data/first-light.jpg`; some seconds become the animation `docs/first-light.webp`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import av
from PIL import Image

from training.make_posters import SONG, command

ROOT = Path(__file__).resolve().parents[1]
SHEET, MOVING = ROOT / "reactive" / "data" / "first-light.jpg", ROOT / "docs" / "first-light.webp"
COLUMNS, ROWS, WIDTH, HEIGHT = 4, 3, 320, 180
# of the animation: start and end in the clip in seconds, frames a second, size, and maximum bytes
FROM, TO, RATE, SIZE, MAX_BYTES = 8.0, 14.0, 12, (480, 270), 3_000_000


def main() -> None:
    """Render the clip and write both pictures."""
    with tempfile.TemporaryDirectory() as work:
        clip = Path(work) / "clip.mp4"
        command("run", str(SONG), "--preset", "loop-destroy", "-o", str(clip), "--crf", "12")
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            fps = float(stream.average_rate or 24)
            frames = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
    sheet = Image.new("RGB", (COLUMNS * WIDTH, ROWS * HEIGHT))
    for place in range(COLUMNS * ROWS):
        frame = frames[round((place + 0.5) * len(frames) / (COLUMNS * ROWS))]
        row, column = divmod(place, COLUMNS)
        sheet.paste(frame.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), (column * WIDTH, row * HEIGHT))
    sheet.save(SHEET, quality=88, optimize=True)
    count = int((TO - FROM) * RATE)
    moving = [frames[round((FROM + i / RATE) * fps)].resize(SIZE, Image.Resampling.LANCZOS) for i in range(count)]
    for quality in (70, 60, 50, 40, 30):
        moving[0].save(
            MOVING,
            save_all=True,
            append_images=moving[1:],
            duration=round(1000 / RATE),
            loop=0,
            quality=quality,
            method=4,
        )
        if MOVING.stat().st_size <= MAX_BYTES:
            return
    raise SystemExit(f"{MOVING} is larger than {MAX_BYTES} bytes")


if __name__ == "__main__":
    main()
