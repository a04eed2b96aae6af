"""What this machine offers, and what reactive makes of it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from reactive import __version__
from reactive.diffusion.models import EMBER, choose_device, default_batch, default_threads

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
    if device == "cuda":
        facts["device"] = f"cuda: {torch.cuda.get_device_name(0)}, float16"
    else:
        facts["device"] = "cpu, float32: torch sees no CUDA device"
    facts["threads"] = f"{default_threads()}: the cores that this process may use"
    facts["batch"] = f"{default_batch(device, 384, 224)} pictures of 384x224 at once"
    facts["ember"] = str(EMBER) if (EMBER / "model_index.json").is_file() else "missing: install reactive-clip again"
    return facts
