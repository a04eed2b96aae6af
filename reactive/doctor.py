"""What this machine offers, and what reactive makes of it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from reactive import __version__
from reactive.diffusion.backend.builds import advice
from reactive.diffusion.backend.device import (
    attention_kernels,
    choose_device,
    choose_dtype,
    default_batch,
    default_threads,
    device_memory,
    device_name,
    multiplies_bfloat16,
)
from reactive.diffusion.backend.shapes import memory_class
from reactive.diffusion.models.catalogue import EMBER, recommended
from reactive.errors import OutputError, install_line
from reactive.video.nvenc import encoders_here
from reactive.video.upscale import Upscaling, check_upscaling
from reactive.video.upscale import device_name as upscaler_name

LIBRARIES = ("torch", "diffusers", "transformers", "librosa", "av", "numpy")


def examine() -> dict[str, str]:
    """Return facts about this machine, each a short sentence under a short name."""
    import torch

    device = choose_device("auto")
    facts = {
        "reactive": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    for library in LIBRARIES:
        try:
            facts[library] = version(library)
        except PackageNotFoundError:
            facts[library] = "missing: install reactive-clip again"
    numbers = str(choose_dtype(device)).removeprefix("torch.")
    if device == "cuda":
        major, minor = torch.cuda.get_device_capability(0)
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        facts["device"] = f"cuda: {torch.cuda.get_device_name(0)}, {memory:.0f} GiB, compute capability {major}.{minor}"
        facts["numbers"] = (
            f"{numbers}: what checkpoints are published in; the autoencoder of XL in float32, since it overflows"
        )
        facts["tf32"] = tf32(torch.version.hip, major)
        facts["layout"] = "channels_last: tensor cores read it without a copy"
        facts["graphs"] = (
            "network and autoencoder are recorded once for each shape and replayed, without launching kernels"
        )
        facts["copies"] = "pinned and on a stream of their own, while the next batch is imagined"
    elif device != "cpu":
        memory = device_memory(device) / 2**30
        facts["device"] = f"{device}: {device_name(device)}, {memory:.0f} GiB"
        facts["numbers"] = f"{numbers}: what checkpoints are published in; the autoencoder of XL in float32"
        facts["layout"] = "channels_last"
    else:
        onednn: bool = torch.backends.mkldnn.is_available()
        build = (
            "this build of torch uses no graphics card" if torch.version.cuda is None else "torch sees no CUDA device"
        )
        facts["device"] = f"cpu, {torch.backends.cpu.get_cpu_capability()}: {build}"
        multiplies = multiplies_bfloat16()
        facts["numbers"] = f"{numbers}: " + (
            "this processor has instructions for it" if multiplies else "this processor is slow with smaller formats"
        )
        facts["layout"] = "channels_last: the fastest for convolutions by oneDNN" + (
            "" if onednn else ", which is missing here"
        )
    facts["attention"] = attention_kernels(device)
    facts["tuning"] = "none: kernels chosen by timing could change the pictures from one run to the next"
    facts["threads"] = f"{default_threads()}: the cores that this process may use"
    memory_here = memory_class(device_memory(device))
    rule = f"model, size and memory (class {memory_here} GB)" if memory_here else "device and size"
    least = "at most " if memory_here else ""
    facts["batch"] = f"{least}{default_batch(device, 384, 224)} pictures of 384x224 at once: a fixed rule of {rule}"
    if best := recommended(memory_here):
        facts["model"] = f"this card makes better pictures than ember's by {best.options} (`reactive models list`)"
    if told := advice():
        facts["card"] = told
    facts["encoder"] = encoders_here()
    facts["upscale"] = _upscale()
    facts["ember"] = str(EMBER) if (EMBER / "model_index.json").is_file() else "missing: install reactive-clip again"
    return facts


def tf32(hip: str | None, major: int) -> str:
    """Return in words whether float32 is multiplied as TF32.

    Parameters
    ----------
    hip
        The version of HIP that torch was built with, None on NVIDIA.
    major
        The card's compute capability; on AMD it counts something else.
    """
    if hip is not None:
        return "none: it is a format of NVIDIA's cards; float32 is multiplied as it is"
    return "on for the networks where they stay in float32" if major >= 8 else "none: it needs compute capability 8.0"


def _upscale() -> str:
    try:
        check_upscaling(Upscaling(2, "esrgan"))
    except OutputError:
        return f"lanczos; for esrgan `{install_line('[upscale]')}`"
    return f"lanczos, and esrgan on {upscaler_name()}"
