"""OpenCV, set up once for the whole process."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def opencv() -> Any:
    """Return the module ``cv2``, on one thread: whoever calls it has threads of their own."""
    import cv2

    # how some of its functions divide a picture depends on the number of threads, and so would its bits
    cv2.setNumThreads(1)
    return cv2
