"""Spout, a texture for other programs on the same Windows machine, by SpoutGL (extra [spout])."""

from __future__ import annotations

import numpy as np

from reactive.errors import OutputError
from reactive.live.outputs.sink import OutputFormat


class SpoutSink:
    """A Spout sender with the name of the output. It carries no song time.

    OpenGL belongs to the thread that opened it, so `send` and `close` are called from the thread that made the sink.
    """

    def __init__(self, wanted: OutputFormat) -> None:
        import SpoutGL
        from SpoutGL.enums import GL_RGBA

        self._format = GL_RGBA
        self._size = wanted.size
        self._name = wanted.name
        self._pixels = np.full((wanted.size[1], wanted.size[0], 4), 255, np.uint8)
        self._sender = SpoutGL.SpoutSender()
        self._sender.setSenderName(wanted.name)

    def send(self, frame: np.ndarray, seconds: float) -> None:
        """Send a frame and tell those who wait for one."""
        del seconds
        self._pixels[..., :3] = frame
        if not self._sender.sendImage(self._pixels.tobytes(), *self._size, self._format, False, 0):
            raise OutputError("Spout took no frame", where="--output spout", remedy=f'see what else is "{self._name}"')
        self._sender.setFrameSync(self._name)

    def close(self) -> None:
        """Release the sender."""
        self._sender.releaseSender()
