"""OpenCV, set up once for the whole process."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def opencv() -> Any:
    """Return the module ``cv2``, on one thread: callers have their own threads."""
    import cv2

    # some of its functions divide a picture by the number of threads, which would change bits
    cv2.setNumThreads(1)
    return cv2
