"""The lens: zoom, rotation, shift and tilt of the finished picture, in every mode a pure function of the frame."""

from __future__ import annotations

import numpy as np
import torch

from reactive.diffusion.motion.camera import inverse_map, resample

LENS = ("lens_zoom", "lens_rotate", "lens_x", "lens_y", "lens_tilt", "lens_turn")
# zooms below this show the mirrored edge
WIDE = 0.95
_STILL = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
_CORNERS = np.array([[-1, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]], np.float64)


def through_lens(pictures: torch.Tensor, columns: dict[str, np.ndarray], frames: np.ndarray) -> torch.Tensor:
    """Return pictures uint8 [n, 3, height, width] through their frames' lens.

    A shift, turn or tilt would show the mirrored edge, so the lens zooms in just enough to hide it.

    Parameters
    ----------
    pictures
        The finished pictures.
    columns
        The timeline's columns.
    frames
        Frame numbers [n].
    """
    height, width = pictures.shape[-2:]
    maps, moving = lens_maps(columns, frames, width / height)
    if not moving.any():
        return pictures
    result = pictures.clone()
    chosen = torch.from_numpy(np.flatnonzero(moving)).to(pictures.device)
    warped = resample(pictures[chosen].float(), maps[moving])
    result[chosen] = warped.clamp(0, 255).round().to(torch.uint8)
    return result


def lens_maps(columns: dict[str, np.ndarray], frames: np.ndarray, aspect: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the lens of each frame as inverse maps, float64 [n, 3, 3], and whether it moves the picture at all, bool [n].

    Parameters
    ----------
    columns
        The timeline's columns.
    frames
        Frame numbers [n].
    aspect
        Width over height.
    """
    moves = np.stack([columns[name][frames] for name in LENS], axis=1)
    moves[:, 0] *= overscan(moves, aspect)
    moving = np.abs(moves - _STILL).max(axis=1) > 1e-6
    return np.stack([inverse_map(move, aspect) for move in moves]), moving


def overscan(moves: np.ndarray, aspect: float) -> np.ndarray:
    """Return the factors [n] by which zooms of 1 or more must grow so that no edge comes into view.

    Parameters
    ----------
    moves
        float64 [n, 4] or [n, 6]: zoom, degrees, widths, heights, degrees in depth.
    aspect
        Width over height.
    """
    angle = np.radians(np.abs(moves[:, 1]))
    cosine, sine = np.abs(np.cos(angle)), np.abs(np.sin(angle))
    # how far the window's corner reaches, in half widths and half heights of the picture, at zoom 1
    reach_x = (1 + 2 * np.abs(moves[:, 2])) * cosine + (1 + 2 * np.abs(moves[:, 3])) * sine / aspect
    reach_y = (1 + 2 * np.abs(moves[:, 3])) * cosine + (1 + 2 * np.abs(moves[:, 2])) * sine * aspect
    needed = np.maximum(reach_x, reach_y)
    for number in np.flatnonzero(np.any(moves[:, 4:] != 0, axis=1)):
        needed[number] = _reach(moves[number], aspect)
    # a preset that zooms out clearly wants the mirror; the transition has no jump
    wide = 1 + (needed - 1) * np.clip((moves[:, 0] - WIDE) / (1 - WIDE), 0, 1)
    return np.where(moves[:, 0] >= 1, np.maximum(needed / moves[:, 0], 1.0), wide)


def _reach(move: np.ndarray, aspect: float) -> float:
    """Return how far a tilted window's corners reach into the picture at zoom 1: a straight edge stays straight."""
    corners = _CORNERS @ inverse_map([1.0, *move[1:]], aspect).T
    return float(np.abs(corners[:, :2] / np.maximum(corners[:, 2:], 1e-2)).max())
