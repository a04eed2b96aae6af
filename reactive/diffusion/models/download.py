"""Fetch models from the Hugging Face hub: the only module of reactive that downloads, and only for `reactive models pull`."""

from __future__ import annotations

from pathlib import Path

from reactive.diffusion.models.catalogue import find_entry
from reactive.diffusion.models.presence import missing_files, wanted_files
from reactive.errors import ModelError


def pull(name: str, *, full: bool = False) -> Path:
    """Download a model, LoRA, autoencoder, adapter or control network, or resume a download; return its path.

    Parameters
    ----------
    name
        A short name or a hub id.
    full
        Whether weights are fetched in full precision even if the hub has them in half.

    Raises
    ------
    ModelError
        If there is none of that name, or it can't be downloaded.
    """
    from huggingface_hub import hf_hub_download, list_repo_files, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    # base class of errors without a connection, whichever library the hub's client uses
    client_error: type[Exception] = HfHubHTTPError.__bases__[0]
    entry = find_entry(name)
    hub = entry.hub if entry else name
    if hub.count("/") != 1 or hub.startswith((".", "/")):
        raise ModelError("is neither a known name nor a hub id", where=name, remedy="see `reactive models list`")
    try:
        if entry is not None and entry.file:
            return Path(hf_hub_download(hub, entry.file))
        if entry is not None and entry.files:
            fetched = [Path(hf_hub_download(hub, file)) for file in entry.files]
            return fetched[0].parent
        wanted = wanted_files(list_repo_files(hub), full=full)
        folder = Path(snapshot_download(hub, allow_patterns=wanted)) if wanted else None
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
    if folder is None or not any(folder.rglob("*.safetensors")):
        raise ModelError(
            "holds no safetensors",
            where=name,
            remedy="look for another version: pickled weights can run code and are not read",
        )
    lack = missing_files(folder)
    if lack:
        raise ModelError(f"is not whole on the hub: {lack}", where=name, remedy="look for another version")
    return folder
