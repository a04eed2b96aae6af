"""The families of models that are known: one file each, with the interface of `family`."""

from __future__ import annotations

from reactive.diffusion.models.families.family import Conditioning, Family, blend, choose, join, turn
from reactive.diffusion.models.families.flux import FLUX
from reactive.diffusion.models.families.flux2_klein import FLUX2_KLEIN
from reactive.diffusion.models.families.krea2 import KREA2
from reactive.diffusion.models.families.qwen_image import QWEN_IMAGE
from reactive.diffusion.models.families.sana_sprint import SANA_SPRINT
from reactive.diffusion.models.families.sd import SD
from reactive.diffusion.models.families.sd3 import SD3
from reactive.diffusion.models.families.sdxl import SDXL
from reactive.diffusion.models.families.z_image import Z_IMAGE

FAMILIES = (SD, SDXL, FLUX2_KLEIN, Z_IMAGE, SANA_SPRINT, SD3, FLUX, KREA2, QWEN_IMAGE)
__all__ = ["FAMILIES", "Conditioning", "Family", "blend", "choose", "family_named", "family_of", "join", "turn"]


def family_of(pipeline: str) -> Family | None:
    """Return the family of a pipeline's class name, or None if it is not known here."""
    return next((family for family in FAMILIES if pipeline.startswith(family.pipelines)), None)


def family_named(name: str) -> Family:
    """Return the family of a short name."""
    return next(family for family in FAMILIES if family.name == name)
