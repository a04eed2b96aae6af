"""A virtual camera, which every program with a camera menu finds, by pyvirtualcam (extra [camera])."""

from __future__ import annotations

import numpy as np

from reactive.live.outputs.sink import OutputFormat


class CameraSink:
    """A virtual camera: that of OBS on Windows and macOS, a device of v4l2loopback on Linux. It carries no song time."""

    def __init__(self, wanted: OutputFormat) -> None:
        import pyvirtualcam

        width, height = wanted.size
        self._camera = pyvirtualcam.Camera(
            width, height, float(wanted.fps), fmt=pyvirtualcam.PixelFormat.RGB, device=wanted.name or None
        )

    def send(self, frame: np.ndarray, seconds: float) -> None:
        """Show a frame."""
        del seconds
        self._camera.send(frame)

    def close(self) -> None:
        """Close the device."""
        self._camera.close()
