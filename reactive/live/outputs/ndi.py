"""NDI, a picture over the network, by cyndilib (extra [ndi])."""

from __future__ import annotations

import numpy as np

from reactive.errors import OutputError
from reactive.live.outputs.sink import OutputFormat


class NdiSink:
    """An NDI source with the name of the output.

    Each frame carries its time in the song as metadata: ``<reactive time="12.345"/>``.
    """

    def __init__(self, wanted: OutputFormat) -> None:
        from cyndilib import FourCC, Sender, VideoSendFrame

        width, height = wanted.size
        # RGBX: four bytes a pixel, the last one unused
        self._pixels = np.full((height, width, 4), 255, np.uint8)
        self._frame = VideoSendFrame()
        self._frame.set_resolution(width, height)
        self._frame.set_frame_rate(wanted.fps)
        self._frame.set_fourcc(FourCC.RGBX)
        # the feed sets the pace, so NDI must not wait for its own clock
        self._sender = Sender(wanted.name, clock_video=False, clock_audio=False)
        self._sender.set_video_frame(self._frame)
        self._sender.open()

    def send(self, frame: np.ndarray, seconds: float) -> None:
        """Send a frame; cyndilib copies it."""
        self._pixels[..., :3] = frame
        self._frame.set_metadata(f'<reactive time="{seconds:.3f}"/>'.encode())
        if not self._sender.write_video(self._pixels.reshape(-1)):
            raise OutputError("NDI took no frame", where="--output ndi", remedy="see whether the network is there")

    def close(self) -> None:
        """Take the source off the network."""
        self._sender.close()
