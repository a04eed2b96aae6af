"""A start of the program imports little of diffusers, and what it spares is there as soon as it is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import reactive
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.embeddings import read_embedding, trim, write_embedding
from reactive.diffusion.models.families import Conditioning
from reactive.diffusion.models.later import LaterPart

SPARED = ("transformers", "torch._dynamo", "scipy.stats", "scipy.integrate")


def _said(code: str) -> dict[str, object]:
    """Return what a program of its own prints, as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_ember_is_loaded_without_transformers_and_the_compiler() -> None:
    said = _said(
        f"""
import json, sys
import reactive
model = reactive.load_model("ember", steps=1)
print(json.dumps({{
    "spared": [name for name in {SPARED!r} if name in sys.modules],
    "network": type(model.network).__module__,
}}))
"""
    )
    assert said == {"spared": [], "network": "diffusers.models.unets.unet_2d_condition"}


def test_what_is_spared_is_the_real_thing_once_it_is_asked_for() -> None:
    said = _said(
        """
import json, sys
import reactive
model = reactive.load_model("ember", steps=1)
import diffusers, torch
from diffusers.loaders import lora_base
from diffusers.models.autoencoders import AutoencoderKL, AutoencoderTiny
from diffusers.models.unets import UNet2DConditionModel
from diffusers.schedulers import scheduling_euler_discrete, scheduling_lms_discrete
from diffusers.utils import import_utils
import transformers, torch._dynamo
from diffusers.models.lora import CLIPTextModel
encoder = model.text_encoder.whole()
print(json.dumps({
    "classes": AutoencoderKL is diffusers.AutoencoderKL
        and type(model.vae) is AutoencoderTiny is diffusers.AutoencoderTiny
        and type(model.network) is UNet2DConditionModel is diffusers.UNet2DConditionModel,
    "compared": isinstance(encoder, lora_base.PreTrainedModel) and not isinstance(model.vae, lora_base.PreTrainedModel),
    "subclass": issubclass(transformers.CLIPTextModel, lora_base.PreTrainedModel),
    "attribute": lora_base.PreTrainedModel.from_pretrained.__name__,
    "statistics": float(scheduling_euler_discrete.scipy.stats.beta.ppf(0.5, 1, 1)),
    "integrals": scheduling_lms_discrete.integrate.quad(lambda x: 2 * x, 0, 1)[0],
    "installed": import_utils._is_package_available("numpy", get_dist_name=True)[0],
    "compiler": torch._dynamo.is_compiling(),
    "packages": type(sys.modules["diffusers.models.autoencoders"]).__name__,
}))
"""
    )
    assert said == {
        "classes": True,
        "compared": True,
        "subclass": True,
        "attribute": "from_pretrained",
        "statistics": 0.5,
        "integrals": 1.0,
        "installed": True,
        "compiler": False,
        "packages": "module",
    }


def test_code_that_diffusers_marks_for_the_compiler_is_marked_when_it_is_used() -> None:
    said = _said(
        """
import json
import torch
from reactive.diffusion.backend import spare_imports
spare_imports.spare_imports()
from diffusers.hooks.first_block_cache import FBCHeadBlockHook
marked = [one.__name__ for one in spare_imports._allowed]
spare_imports.mark_for_compiler()
kept = spare_imports._disable(lambda number: number + 1)
print(json.dumps({"marked": "BasicTransformerBlock" in marked, "left": spare_imports._allowed, "runs": kept(1)}))
"""
    )
    assert said == {"marked": True, "left": [], "runs": 2}


def test_prompts_that_were_embedded_before_need_no_encoder_and_have_the_same_bits(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path))
    texts = ["a red gate", "waves at dusk", "stars"]
    first, second, third = (reactive.load_model("ember", steps=1) for _ in range(3))
    made = PromptBank(first, texts)
    assert isinstance(first.text_encoder, LaterPart)
    assert first.text_encoder.loaded
    read = PromptBank(second, texts[::-1])
    assert not second.text_encoder.loaded
    assert torch.equal(made.embeddings.tokens, read.embeddings.tokens.flip(0))
    assert np.array_equal(made.empty.tokens.numpy(), read.empty.tokens.numpy())
    # one that is not known yet, and one with a weight, which is embedded in the lengths of its neighbours
    grown = PromptBank(third, [*texts, "a new text"])
    assert third.text_encoder.loaded
    assert torch.equal(grown.embeddings.tokens[:3], made.embeddings.tokens)
    kept = len(list((tmp_path / "texts").iterdir()))
    weighted = PromptBank(third, [*texts, "a (bright:1.5) text"])
    assert len(list((tmp_path / "texts").iterdir())) == kept
    fourth = reactive.load_model("ember", steps=1)
    assert torch.equal(
        PromptBank(fourth, [*texts, "a (bright:1.5) text"]).embeddings.tokens, weighted.embeddings.tokens
    )


def test_a_broken_or_missing_embedding_is_made_anew_and_the_oldest_leave(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path))
    embedded = Conditioning(torch.arange(6.0).reshape(1, 2, 3))
    for key in ("a", "b", "c"):
        write_embedding(key, embedded)
    found = read_embedding("a")
    assert found is not None
    assert torch.equal(found.tokens, embedded.tokens)
    (tmp_path / "texts" / "b.safetensors").write_bytes(b"cut")
    assert read_embedding("b") is None
    assert read_embedding("d") is None
    trim(tmp_path / "texts", most=1)
    assert len(list((tmp_path / "texts").iterdir())) == 1
