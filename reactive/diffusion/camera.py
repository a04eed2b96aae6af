"""Moves of a whole picture: zoom, rotation and shift, one resampling each.

`warp` is what camera and lens share. The camera moves a picture before it is fed back; its path over time is a running sum
(log zoom, degrees, widths, heights), so the move between any two moments is a difference.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional


def warp(pictures: torch.Tensor, moves: np.ndarray, *, mode: str = "bicubic") -> torch.Tensor:
    """Zoom, rotate and shift pictures about their centre; what comes in from beyond an edge is mirrored.

    Parameters
    ----------
    pictures
        float32 [n, c, height, width].
    moves
        float64 [n, 4]: zoom (2 is twice as close), degrees counter-clockwise, shift right in widths, down in heights.
    mode
        ``bicubic`` keeps detail, ``bilinear`` never overshoots.
    """
    height, width = pictures.shape[-2:]
    aspect = width / height
    rows = []
    for zoom, degrees, right, down in np.asarray(moves, np.float64).tolist():
        cosine, sine = math.cos(math.radians(degrees)) / zoom, math.sin(math.radians(degrees)) / zoom
        # grid_sample asks, for each point of the result, where it comes from, in half widths and half heights
        x, y = 2 * right, 2 * down
        rows.append(
            [
                [cosine, -sine / aspect, -(cosine * x - sine / aspect * y)],
                [sine * aspect, cosine, -(sine * aspect * x + cosine * y)],
            ]
        )
    theta = torch.tensor(rows, dtype=torch.float32, device=pictures.device)
    grid = functional.affine_grid(theta, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, mode=mode, padding_mode="reflection", align_corners=False)


def path_at(columns: dict[str, np.ndarray], position: float) -> np.ndarray:
    """Return the camera's running sums [4] (log zoom, degrees, widths, heights) at a position counted in frames."""
    frames = np.arange(len(columns["camera_zoom"]))
    names = ("camera_zoom", "camera_rotate", "camera_x", "camera_y")
    low = int(np.clip(math.floor(position), 0, len(frames) - 1))
    high = min(low + 1, len(frames) - 1)
    share = position - low if high > low else 0.0
    return np.array([columns[name][low] * (1 - share) + columns[name][high] * share for name in names])


def move_between(columns: dict[str, np.ndarray], start: float, stop: float) -> np.ndarray:
    """Return the move [4] that takes a picture from one position in frames to another."""
    difference = path_at(columns, stop) - path_at(columns, start)
    difference[0] = math.exp(difference[0])
    return difference
