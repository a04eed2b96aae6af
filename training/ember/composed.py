"""Figures of composed frames, where a photograph lies beneath what a model paints, and of its edges.

A painting does its work if the frame keeps the photograph's edges and takes the painting's colour.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from reactive.diffusion.compose import ROOM, Terms, compose, prepare_ground
from training.ember import colours, data

# what most frames of the shipped presets show: the detail that plays and the share of its own colour that a ground keeps
TERMS = Terms(detail=0.7)
# colours are compared where light is: on a grid as coarse as this
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
    """Return how far the frame's colour is the painting's: 0 the ground's own, 1 the painting's; pictures uint8 [h, w, 3].

    The least-squares share of the way from the ground's colours to the painting's; it can pass 1 where the light is stronger
    than the painting.
    """
    base, goal, got = (colour_grid(picture) for picture in (ground, painting, frame))
    way = goal - base
    return float(((got - base) * way).sum() / max(float((way**2).sum()), 1e-9))


def under(painting: np.ndarray, picture: np.ndarray, terms: Terms = TERMS) -> tuple[np.ndarray, np.ndarray]:
    """Return the frame in which a picture lies beneath the painting, and the ground as it is, both of the painting's size."""
    height, width = painting.shape[:2]
    exact = data.centre_crop(picture, width=width, height=height)
    larger = data.centre_crop(picture, width=round(width * ROOM), height=round(height * ROOM))
    ground = prepare_ground(larger, exact)
    return compose(ground, painting, terms, (width, height), np.eye(3)), exact


def judge(paintings: list[np.ndarray], pictures: list[np.ndarray]) -> dict[str, float]:
    """Return the medians over pairs: edge energy of the frame over the ground's, and the colour that is the painting's."""
    edges, shares = [], []
    for painting, picture in zip(paintings, pictures, strict=True):
        frame, ground = under(painting, picture)
        edges.append(edge_energy(frame) / max(edge_energy(ground), 1e-9))
        shares.append(painted_share(frame, painting, ground))
    return {"composed_edges": float(np.median(edges)), "composed_colour": float(np.median(shares))}
