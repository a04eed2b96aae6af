"""Syphon, a texture for other programs on the same Mac, by syphon-python (extra [syphon])."""

from __future__ import annotations

import numpy as np

from reactive.live.outputs.sink import OutputFormat


class SyphonSink:
    """A Syphon server by Metal with the name of the output. It carries no song time."""

    def __init__(self, wanted: OutputFormat) -> None:
        import syphon
        from syphon.utils.numpy import copy_image_to_mtl_texture
        from syphon.utils.raw import create_mtl_texture

        width, height = wanted.size
        self._pixels = np.full((height, width, 4), 255, np.uint8)
        self._copy = copy_image_to_mtl_texture
        self._server = syphon.SyphonMetalServer(wanted.name)
        self._texture = create_mtl_texture(self._server.device, width, height)

    def send(self, frame: np.ndarray, seconds: float) -> None:
        """Publish a frame; Metal's rows begin at the top, Syphon's at the bottom."""
        del seconds
        self._pixels[..., :3] = frame
        self._copy(self._pixels, self._texture)
        self._server.publish_frame_texture(self._texture, is_flipped=True)

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()
