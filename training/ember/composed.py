"""Measure composed frames (a painting over a photograph) and their edges.

A good painting leaves the photograph's edges visible and gives the frame its colour.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from reactive.diffusion.compose import ROOM, Terms, compose, prepare_ground
from training.ember import colours, data

# detail and own colour of a ground as in most frames of the bundled presets
TERMS = Terms(detail=0.7)
# colours are compared on the coarse grid of the light
GRID = (12, 7)


def edge_energy(picture: np.ndarray) -> float:
    """Return the mean length of the luma's gradient over the mean luma, picture uint8 [height, width, 3]."""
    luma = picture.astype(float) @ (0.299, 0.587, 0.114)
    down, across = np.diff(luma, axis=0)[:, :-1], np.diff(luma, axis=1)[:-1]
    return float(np.hypot(down, across).mean() / max(float(luma.mean()), 1.0))


def colour_grid(picture: np.ndarray) -> np.ndarray:
    """Return Oklab's a and b of a picture on `GRID`, float64 [n, 2]."""
    small = Image.fromarray(np.ascontiguousarray(picture)).resize(GRID, Image.Resampling.BOX)
    return colours.oklab(np.asarray(small))[..., 1:].reshape(-1, 2)


def painted_share(frame: np.ndarray, painting: np.ndarray, ground: np.ndarray) -> float:
    """Return the share of the painting's colour in the frame: 0 the ground's own, 1 the painting's; pictures uint8 [h, w, 3].

    The least-squares share of the way from the ground's colours to the painting's; it can exceed 1 where the light is stronger
    than the painting.
    """
    base, goal, got = (colour_grid(picture) for picture in (ground, painting, frame))
    way = goal - base
    return float(((got - base) * way).sum() / max(float((way**2).sum()), 1e-9))


def frame_over(painting: np.ndarray, picture: np.ndarray, terms: Terms = TERMS) -> tuple[np.ndarray, np.ndarray]:
    """Return the frame with a picture frame_over the painting, and the unlit ground, both of the painting's size."""
    height, width = painting.shape[:2]
    exact = data.centre_crop(picture, width=width, height=height)
    larger = data.centre_crop(picture, width=round(width * ROOM), height=round(height * ROOM))
    ground = prepare_ground(larger, exact)
    return compose(ground, painting, terms, (width, height), np.eye(3)), exact


def judge(paintings: list[np.ndarray], pictures: list[np.ndarray]) -> dict[str, float]:
    """Return the medians over pairs: edge energy of the frame relative to the ground's, and the painting's share of colour."""
    edges, shares = [], []
    for painting, picture in zip(paintings, pictures, strict=True):
        frame, ground = frame_over(painting, picture)
        edges.append(edge_energy(frame) / max(edge_energy(ground), 1e-9))
        shares.append(painted_share(frame, painting, ground))
    return {"composed_edges": float(np.median(edges)), "composed_colour": float(np.median(shares))}
