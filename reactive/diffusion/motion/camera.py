"""Moves of a whole picture: zoom, rotation, shift and tilt in depth, one resampling each.

Camera and lens share `resample`. The camera moves a picture before it is fed back; its path over time is a running
sum (log zoom, degrees, widths, heights, degrees in depth), so the move between two moments is a difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from reactive.diffusion.backend.products import rows_times
from reactive.timeline.timeline import FARTHEST, STEEPEST

PATH = ("camera_zoom", "camera_rotate", "camera_x", "camera_y", "camera_tilt", "camera_turn")
# distance of the eye from the picture, in half diagonals: near enough to see depth
_EYE = 2.0
# least depth: places beyond the horizon of a tilted picture are not sampled
_HORIZON = 1e-2
_CORNERS = np.array([[x, y, 1.0] for y in (-1, 1) for x in (-1, 1)])


def inverse_map(move: Sequence[float] | np.ndarray, aspect: float) -> np.ndarray:
    """Return the map float64 [3, 3] from a place in the moved picture to its origin in the picture.

    Coordinates are half widths and half heights from the centre, x to the right and y down, in homogeneous coordinates.

    Parameters
    ----------
    move
        [4] or [6]: zoom (2 is twice as close), degrees counter-clockwise, shift right in widths, down in heights, then
        degrees in depth: the top leans away, the right side leans away. It is zoomed and turned first, then tilted, then
        shifted.
    aspect
        Width over height.
    """
    zoom, degrees, right, down, tilt, turn = (*(float(value) for value in move), 0.0, 0.0)[:6]
    cosine, sine = math.cos(math.radians(degrees)) / zoom, math.sin(math.radians(degrees)) / zoom
    x, y = 2 * right, 2 * down
    if not (tilt or turn):
        return np.array(
            [
                [cosine, -sine / aspect, -(cosine * x - sine / aspect * y)],
                [sine * aspect, cosine, -(sine * aspect * x + cosine * y)],
                [0.0, 0.0, 1.0],
            ]
        )
    turned = np.array([[cosine, -sine / aspect, 0.0], [sine * aspect, cosine, 0.0], [0.0, 0.0, 1.0]])
    shifted = np.array([[1.0, 0.0, -x], [0.0, 1.0, -y], [0.0, 0.0, 1.0]])
    return turned @ np.linalg.inv(_tilted(tilt, turn, aspect)) @ shifted


def _tilted(tilt: float, turn: float, aspect: float) -> np.ndarray:
    """Return the map from a flat picture to its view when tilted about its centre."""
    up, side = (math.radians(max(-STEEPEST, min(STEEPEST, angle))) for angle in (tilt, turn))
    eye = _EYE * math.hypot(1.0, aspect)
    # where the picture's two axes point in space (right, down, away), in half heights
    across = np.array([math.cos(side), 0.0, math.sin(side)])
    along = np.array([math.sin(side) * math.sin(up), math.cos(up), -math.cos(side) * math.sin(up)])
    seen = np.array(
        [[eye * across[0], eye * along[0], 0.0], [eye * across[1], eye * along[1], 0.0], [across[2], along[2], eye]]
    )
    scale = np.diag([aspect, 1.0, 1.0])
    return np.linalg.inv(scale) @ seen @ scale


def warp(pictures: torch.Tensor, moves: np.ndarray, *, mode: str = "bicubic") -> torch.Tensor:
    """Move pictures about their centre; places beyond an edge are mirrored.

    Parameters
    ----------
    pictures
        float32 [n, c, height, width].
    moves
        float64 [n, 4] or [n, 6], as `inverse_map` describes them.
    mode
        ``bicubic`` keeps detail, ``bilinear`` never overshoots.
    """
    height, width = pictures.shape[-2:]
    maps = np.stack([inverse_map(move, width / height) for move in np.asarray(moves, np.float64)])
    return resample(pictures, maps, mode=mode)


def resample(
    pictures: torch.Tensor,
    maps: np.ndarray,
    *,
    lens: np.ndarray | None = None,
    flows: Sequence[torch.Tensor | None] | None = None,
    mode: str = "bicubic",
) -> torch.Tensor:
    """Move pictures by camera, flow and lens in one resampling, so that nothing is blurred twice.

    Parameters
    ----------
    pictures
        float32 [n, c, height, width].
    maps
        The camera's inverse maps, float64 [n, 3, 3].
    lens
        The lens's inverse maps, applied to the result of the camera.
    flows
        For each picture, float32 [2, height, width]: how many pixels right and down of each place, seen without the lens,
        its content comes from, before the camera; None for no flow.
    mode
        As in `warp`.
    """
    totals = maps if lens is None else maps @ lens
    grid = _affine(totals, pictures)
    mirrored = ~_inside(totals)
    for number, total in enumerate(totals):
        flow = None if flows is None else flows[number]
        if flow is not None:
            seen = _mapped(np.eye(3) if lens is None else lens[number], pictures)
            grid[number] = _through(_moved(seen, flow.to(pictures.device)), maps[number])
            mirrored[number] = True
        elif (total[2] != (0.0, 0.0, 1.0)).any():
            grid[number] = _mapped(total, pictures)
    # if no place is beyond an edge, mirroring is not needed: a third of the time
    if mirrored.all() or not mirrored.any():
        return _sampled(pictures, grid, mirrored=bool(mirrored.any()), mode=mode)
    result = torch.empty_like(pictures)
    for kind in (False, True):
        chosen = torch.from_numpy(np.flatnonzero(mirrored == kind)).to(pictures.device)
        result[chosen] = _sampled(pictures[chosen], grid[chosen], mirrored=kind, mode=mode)
    return result


def _sampled(pictures: torch.Tensor, grid: torch.Tensor, *, mirrored: bool, mode: str) -> torch.Tensor:
    padding = "reflection" if mirrored else "border"
    return functional.grid_sample(pictures, grid, mode=mode, padding_mode=padding, align_corners=False)


def _inside(maps: np.ndarray) -> np.ndarray:
    """Return for inverse maps [n, 3, 3] whether no place comes from beyond an edge, bool [n]: straight edges stay straight."""
    corners = _CORNERS @ maps.transpose(0, 2, 1)
    before = corners[..., 2:] > _HORIZON
    return np.asarray((before & (np.abs(corners[..., :2]) <= corners[..., 2:])).all(axis=(1, 2)))


def _affine(maps: np.ndarray, pictures: torch.Tensor) -> torch.Tensor:
    """Return each place's origin by the affine part of maps [n, 3, 3], float32 [n, height, width, 2]."""
    theta = torch.from_numpy(maps[:, :2].astype(np.float32)).to(pictures.device)
    x, y = _axes(pictures)
    rows = y[None, :, None] * theta[:, None, :, 1] + theta[:, None, :, 2]
    columns = x[None, :, None] * theta[:, None, :, 0]
    return rows[:, :, None] + columns[:, None]


def _axes(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the middles of a picture's columns and of its rows, in half widths and half heights from the centre."""
    height, width = pictures.shape[-2:]
    x, y = ((2 * torch.arange(n, device=pictures.device) + 1) / n - 1 for n in (width, height))
    return x, y


def _mapped(matrix: np.ndarray, pictures: torch.Tensor) -> torch.Tensor:
    """Return the origin of each place of a picture by a map, float32 [height, width, 2]."""
    x, y = _axes(pictures)
    places = torch.stack([x[None].expand(len(y), -1), y[:, None].expand(-1, len(x))], dim=-1)
    return _through(places, matrix)


def _through(places: torch.Tensor, matrix: np.ndarray) -> torch.Tensor:
    exact = torch.from_numpy(matrix.astype(np.float32))
    mapped = rows_times(places, exact[:, :2].T) + exact[:, 2].to(places.device)
    return mapped[..., :2] / mapped[..., 2:].clamp_min(_HORIZON)


def _moved(places: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    height, width = flow.shape[-2:]
    at = functional.grid_sample(flow[None], places[None], padding_mode="border", align_corners=False)[0]
    return places + at.permute(1, 2, 0) * torch.tensor([2 / width, 2 / height], device=places.device)


def path_at(columns: dict[str, np.ndarray], position: float) -> np.ndarray:
    """Return the camera's running sums [6] (log zoom, degrees, widths, heights, degrees in depth) at a position in frames."""
    count = len(columns["camera_zoom"])
    low = int(np.clip(math.floor(position), 0, count - 1))
    high = min(low + 1, count - 1)
    share = position - low if high > low else 0.0
    return np.array([columns[name][low] * (1 - share) + columns[name][high] * share for name in PATH])


def move_between(columns: dict[str, np.ndarray], start: float, stop: float) -> np.ndarray:
    """Return the move [6] that takes a picture from one position in frames to another."""
    difference = path_at(columns, stop) - path_at(columns, start)
    difference[0] = math.exp(min(max(difference[0], -FARTHEST), FARTHEST))
    return difference
