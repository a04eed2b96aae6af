"""How near each place of a photograph is, by Depth Anything (Yang et al. 2024): maps that `sources.depth_map` reads.

The network sees the picture at about 518 pixels on its short side, in whole patches of 14, with ImageNet's mean and deviation,
as its authors prepare it; their own code for that needs torchvision.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reactive.assist.weights import find_weights
from reactive.diffusion.models.quiet import silence
from reactive.errors import ModelError, OutputError
from reactive.files import replacing
from reactive.media.picture import read_picture
from reactive.sources.depth_map import map_path

DEFAULT_MODEL = "depth-anything-small"
SHORT_SIDE, LONGEST_SIDE = 518, 1554
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# these shares of the nearest and the farthest places are as near, or as far, as can be
OUTLIERS = 0.01


def load_depth(name: str = DEFAULT_MODEL, *, device: str = "cpu") -> Any:
    """Load a Depth Anything: a short name whose weights are here, or a folder saved by save_pretrained.

    Raises
    ------
    ModelError
        If it is missing, or is another model.
    """
    from transformers import DepthAnythingForDepthEstimation

    folder = find_weights(name, "depth")
    silence("transformers")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = DepthAnythingForDepthEstimation.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
    except Exception as problem:
        # transformers raises various errors for missing or damaged files
        said = " ".join(str(problem).split())[:160]
        raise ModelError(
            f"can't be loaded as Depth Anything ({said})", where=str(folder), remedy="fetch it again"
        ) from None
    return model.eval().to(device)


def seen_size(width: int, height: int, patch: int) -> tuple[int, int]:
    """Return width and height at which the network sees a picture: whole patches, the short side as near to 518 as they allow."""
    scale = min(SHORT_SIDE / min(width, height), LONGEST_SIDE / max(width, height))
    across, down = (max(patch, round(side * scale / patch) * patch) for side in (width, height))
    return across, down


def estimate_depth(picture: np.ndarray, model: Any) -> np.ndarray:
    """Return how near each place of a picture is, uint8 [height, width]: 255 is the nearest.

    Parameters
    ----------
    picture
        uint8 [height, width, 3], sRGB.
    """
    from PIL import Image

    height, width = picture.shape[:2]
    across, down = seen_size(width, height, model.config.patch_size)
    seen = np.asarray(Image.fromarray(picture).resize((across, down), Image.Resampling.BICUBIC), np.float32) / 255
    normed = (seen - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
    given = torch.from_numpy(normed).permute(2, 0, 1)[None].to(model.device)
    with torch.inference_mode():
        nearness = model(pixel_values=given).predicted_depth[0].float().cpu().numpy()
    far, near = np.quantile(nearness, [OUTLIERS, 1 - OUTLIERS])
    levels = np.clip((nearness - far) / max(float(near - far), 1e-6), 0, 1)
    grey = Image.fromarray(np.round(255 * levels).astype(np.uint8))
    return np.asarray(grey.resize((width, height), Image.Resampling.BICUBIC))


def write_depth_map(photo: Path, model: Any) -> Path:
    """Write a photograph's depth map beside it, and return its path.

    Raises
    ------
    MediaError
        If the photograph can't be read.
    OutputError
        If the map can't be written.
    """
    from PIL import Image

    grey, path = Image.fromarray(estimate_depth(read_picture(photo), model)), map_path(photo)
    try:
        with replacing(path) as partial:
            grey.save(partial, format="PNG")
    except OSError as problem:
        said = problem.strerror or str(problem)
        raise OutputError(
            f"can't be written ({said})", where=str(path), remedy="put the photograph into a folder of yours"
        ) from None
    return path
