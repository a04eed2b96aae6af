"""Optical flow: a video's motion, and interpolation between two pictures.

Dense inverse search (Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016), by OpenCV.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from reactive.diffusion.backend.opencv import opencv


def flow_between(first: np.ndarray, second: np.ndarray) -> torch.Tensor:
    """Return the motion from each place of the first picture to its content in the second.

    Parameters
    ----------
    first, second
        uint8 [height, width, 3].

    Returns
    -------
    float32 [2, height, width]: pixels to the right and down.
    """
    cv2 = opencv()
    grey = [np.asarray(cv2.cvtColor(np.ascontiguousarray(p), cv2.COLOR_RGB2GRAY)) for p in (first, second)]
    # the search needs at least this size
    if min(grey[0].shape) < 16:
        return torch.zeros(2, *grey[0].shape)
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return torch.from_numpy(np.moveaxis(search.calc(*grey, None), 2, 0).copy())


class Between:
    """Interpolates between two pictures.

    Parameters
    ----------
    first, second
        uint8 [3, height, width].
    """

    def __init__(self, first: torch.Tensor, second: torch.Tensor) -> None:
        self.first, self.second = first.cpu(), second.cpu()
        one, two = (picture.permute(1, 2, 0).numpy() for picture in (self.first, self.second))
        self.forward, self.backward = flow_between(one, two), flow_between(two, one)

    def at(self, share: float) -> torch.Tensor:
        """Return the picture at `share` of the way, uint8 [3, height, width].

        Both ends are moved to the moment by their flows, assuming even motion (Jiang et al., Super SloMo, CVPR 2018),
        and mixed; where the two flows contradict each other motion is unknown, so there it is a dissolve.
        """
        if share <= 0 or share >= 1:
            return (self.first if share <= 0 else self.second).clone()
        to_first = -(1 - share) * share * self.forward + share**2 * self.backward
        to_second = (1 - share) ** 2 * self.forward - share * (1 - share) * self.backward
        trust = _agreement(self.forward, self.backward)
        early = _drawn(self.first.float(), to_first * trust)
        late = _drawn(self.second.float(), to_second * trust)
        return torch.lerp(early, late, share).clamp(0, 255).round().to(torch.uint8)


def _agreement(forward: torch.Tensor, backward: torch.Tensor) -> torch.Tensor:
    """Return 1 where following a flow and then the other leads back, falling to 0 where it does not, [1, height, width]."""
    back = _drawn(backward, forward)
    gap = (forward + back).square().sum(0, keepdim=True)
    size = forward.square().sum(0, keepdim=True) + back.square().sum(0, keepdim=True)
    rough = torch.exp(-gap / (0.1 * size + 2))
    # smoothed, since an edge would be visible
    return functional.avg_pool2d(rough[None], 9, stride=1, padding=4, count_include_pad=False)[0]


def _drawn(picture: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Return a picture sampled at each place plus its flow, float32 [c, height, width]."""
    height, width = flow.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack([(x + flow[0] + 0.5) * 2 / width - 1, (y + flow[1] + 0.5) * 2 / height - 1], dim=2)
    return functional.grid_sample(
        picture[None].float(), grid[None], mode="bicubic", padding_mode="border", align_corners=False
    )[0]
