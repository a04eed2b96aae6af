"""Fetch models from the Hugging Face hub: the only place of reactive that downloads, and only when asked."""

from __future__ import annotations

from pathlib import Path

from reactive.diffusion.models.catalogue import known
from reactive.errors import ModelError

# weights, configuration and vocabulary of the parts; never pickles, nor the same weights a second time
_PARTS = ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
PATTERNS = (
    "model_index.json", "reactive.json",
    *(f"{part}/*.{ending}" for part in _PARTS for ending in ("json", "safetensors", "txt")),
)  # fmt: skip
UNWANTED = ("*.fp16.*", "*non_ema*", "*.bin", "*.ckpt", "*.pt", "*.pth", "*openvino*", "*.msgpack", "*.onnx*")


def pull(name: str) -> Path:
    """Download a model, LoRA or autoencoder, or go on with a download that was cut off; return where it lies.

    Parameters
    ----------
    name
        A short name or a hub id.

    Raises
    ------
    ModelError
        If there is none of that name, or it can't be had.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    # whichever library the hub's client stands on, this is the base of what it raises without a connection
    client_error: type[Exception] = HfHubHTTPError.__bases__[0]
    entry = known(name)
    hub = entry.hub if entry else name
    if hub.count("/") != 1 or hub.startswith((".", "/")):
        raise ModelError("is neither a known name nor a hub id", where=name, remedy="see `reactive models list`")
    try:
        if entry is not None and entry.file:
            return Path(hf_hub_download(hub, entry.file))
        patterns = ("config.json", "*.safetensors") if entry and entry.kind == "vae" else PATTERNS
        folder = Path(snapshot_download(hub, allow_patterns=list(patterns), ignore_patterns=list(UNWANTED)))
    except GatedRepoError:
        remedy = f"accept its terms at https://huggingface.co/{hub}, then `hf auth login`, then pull again"
        raise ModelError("its owner asks for consent first", where=name, remedy=remedy) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise ModelError(f"there is no {hub} on the hub", where=name, remedy="check the name") from None
    except (client_error, OSError, ValueError) as problem:
        what = " ".join(str(problem).split())[:160]
        raise ModelError(
            f"can't be downloaded ({what})",
            where=name,
            remedy="check the connection and pull again; it goes on where it stopped",
        ) from None
    if not any(folder.rglob("*.safetensors")):
        raise ModelError(
            "holds no safetensors",
            where=name,
            remedy="look for another version: pickled weights can run code and are not read",
        )
    return folder
