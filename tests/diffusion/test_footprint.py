"""Memory estimates against actual allocations, the batch size, decoding in slices, and offloading of text encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from reactive.diffusion.backend.footprint import decoder_cost, encoder_cost, network_cost
from reactive.diffusion.backend.shapes import (
    CLASSES,
    GIB,
    BatchShape,
    MemoryNeeds,
    budget,
    memory_class,
    shape_by_rule,
    shape_of,
)
from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models.catalogue import EMBER
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import load_model
from reactive.diffusion.models.single_file import CONFIGS
from tests.diffusion.alive import peak_bytes


def described(kind: str, part: str) -> dict[str, Any]:
    folder = EMBER if kind == "ember" else CONFIGS / kind
    found = json.loads((folder / part / "config.json").read_text())
    if found["_class_name"] == "AutoencoderTiny":
        found.pop("block_out_channels", None)
    return {key: value for key, value in found.items() if key == "_class_name" or not key.startswith("_")}


def on_meta(config: dict[str, Any]) -> Any:
    with torch.device("meta"):
        made = getattr(diffusers, config["_class_name"]).from_config({k: v for k, v in config.items() if k[0] != "_"})
    return made.half().eval()


@pytest.mark.parametrize(
    ("kind", "height", "width"), [("sd1", 64, 64), ("sd2", 48, 88), ("sdxl", 128, 128), ("ember", 28, 48)]
)
def test_the_estimate_matches_the_blocks_allocation_at_full_width(kind: str, height: int, width: int) -> None:
    half = {"device": "meta", "dtype": torch.float16}
    config = described(kind, "unet")
    network, latents = on_meta(config), torch.empty(2, 4, height, width, **half)
    told: dict[str, Any] = {}
    if config.get("addition_embed_type") == "text_time":
        told = {
            "added_cond_kwargs": {"text_embeds": torch.empty(2, 1280, **half), "time_ids": torch.empty(2, 6, **half)}
        }
    text = torch.empty(2, 77, config["cross_attention_dim"], **half)
    measured = peak_bytes(lambda: network(latents, torch.empty(2, device="meta"), text, return_dict=False, **told))
    assert network_cost(config, height * width).peak * 2 * 2 == pytest.approx(measured, rel=0.1)
    config = described(kind, "vae")
    autoencoder, pictures = on_meta(config), torch.empty(2, 3, 8 * height, 8 * width, **half)
    measured = peak_bytes(lambda: autoencoder.decode(latents, return_dict=False))
    assert decoder_cost(config, height * width).peak * 2 * 2 == pytest.approx(measured, rel=0.02)
    measured = peak_bytes(lambda: autoencoder.encode(pictures))
    assert encoder_cost(config, height * width).peak * 2 * 2 == pytest.approx(measured, rel=0.1)


def test_a_toy_decoder_allocates_the_estimate_on_the_cpu() -> None:
    from tests.diffusion.toys import autoencoder

    toy, latents = autoencoder().eval(), torch.randn(3, 4, 16, 16)
    measured = peak_bytes(lambda: toy.decode(latents, return_dict=False), fused=False)
    assert decoder_cost(dict(toy.config), 256).peak * 4 * 3 == pytest.approx(measured, rel=0.1)


def needs(kind: str = "sd2", **more: Any) -> MemoryNeeds:
    plain = {"number": 2, "vae_number": 4 if kind == "sdxl" else 2, "factor": 8}
    weights = {"sd2": (1.61, 0.16, 0.63), "sdxl": (4.78, 0.31, 1.52)}[kind]
    sizes = dict(zip(("network_bytes", "vae_bytes", "text_bytes"), (int(w * GIB) for w in weights), strict=True))
    return MemoryNeeds(network=described(kind, "unet"), vae=described(kind, "vae"), **sizes, **{**plain, **more})


def test_the_estimate_of_decoding_sixteen_matches_the_measurement() -> None:
    # 768 channels at a picture's size: 6.2 GiB in float16, 12.4 in float32
    for kind, expected in (("sd2", 6.2), ("sdxl", 12.4)):
        numbers = needs(kind)
        latents = 704 * 384 // 64
        peak = decoder_cost(numbers.vae, latents).peak * numbers.vae_number * 16 / GIB
        assert peak == pytest.approx(expected, abs=0.05)


def test_the_decoder_is_three_quarters_of_sd_turbos_operations() -> None:
    assert needs().decoding_share(512, 512, 1) == pytest.approx(0.758, abs=0.005)
    assert needs(twice=True).decoding_share(512, 512, 20) < 0.1


@pytest.mark.parametrize(
    ("gib", "expected"),
    [(0, 0), (2, 4), (3.9, 4), (5.8, 6), (7.6, 8), (9.9, 8), (14.6, 16), (23.6, 24), (79.1, 80), (141, 80)],
)
def test_a_card_belongs_to_its_advertised_memory_class(gib: float, expected: int) -> None:
    assert memory_class(int(gib * GIB)) == expected


def test_the_batch_grows_with_memory_fits_and_is_unchanged_on_cpus() -> None:
    for kind in ("sd2", "sdxl"):
        before = 0
        for memory in CLASSES:
            shape = shape_by_rule(needs(kind), "cuda", memory, 704, 384)
            assert shape.batch >= before
            assert shape.slices <= shape.batch
            if shape != BatchShape(1, 1, memory):
                assert needs(kind).total(704, 384, shape) <= budget(memory)
            before = shape.batch
        assert before == 16
    assert shape_by_rule(needs(), "cpu", 0, 384, 224) == BatchShape(8)
    assert shape_by_rule(needs(), "cpu", 0, 704, 384) == BatchShape(4)
    assert shape_by_rule(needs(), "cuda", 8, 704, 384) == shape_by_rule(needs(), "cuda", 8, 704, 384)


def requests(core: Core, count: int) -> list[FrameRequest]:
    size = (core.model.channels, core.height // core.model.vae_scale_factor, core.width // core.model.vae_scale_factor)
    drawn = torch.Generator().manual_seed(3)
    source = torch.linspace(-1, 1, 3 * core.height * core.width).view(3, core.height, core.width)
    return [
        FrameRequest(
            0,
            1,
            0.3,
            0.6 if n % 2 else 1.0,
            tuple(torch.randn(size, generator=drawn) for _ in range(core.noises_per_picture)),
            source if n % 2 else None,
        )
        for n in range(count)
    ]


def test_slices_change_no_picture_and_do_not_depend_on_neighbours(toy_model: Path) -> None:
    model = load_model(str(toy_model))
    bank = PromptBank(model, ("a", "b"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole, sliced = (Core(model, bank, batch=6, width=64, height=64, slices=slices) for slices in (0, 4))
        wanted = requests(whole, 6)
        one, other = whole.imagine(wanted), sliced.imagine(wanted)
        assert (one.int() - other.int()).abs().max() <= 1
        assert one.float().std() > 5
        # the last slice is padded, and an item's bits do not depend on its slice
        assert torch.equal(sliced.imagine(wanted[::-1]).flip(0), other)
    finally:
        torch.set_num_threads(threads)


def test_a_user_set_batch_is_decoded_in_slices_that_fit(toy_model: Path) -> None:
    model = load_model(str(toy_model))
    assert shape_of(model, 64, 64) == BatchShape(8)
    assert shape_of(model, 64, 64, batch=3) == BatchShape(3)
    assert shape_of(model, 64, 64, batch=3, slices=2) == BatchShape(3, 2)


def test_text_encoders_are_offloaded_and_return(toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`meta` replaces the card: its tensors hold no data, and only devices are checked."""
    from dataclasses import replace

    from reactive.diffusion.models import text_encoders as texts

    model = load_model(str(toy_model))
    moves: list[tuple[str, torch.dtype]] = []
    monkeypatch.setattr(texts, "_move", lambda model, device, dtype: moves.append((device.type, dtype)))
    with texts.on_device(model):
        assert moves == []
    card = replace(model, device=torch.device("cuda"), memory=24)
    for _ in range(2):
        with texts.on_device(card):
            assert moves[-1] == ("cuda", card.dtype)
        assert moves[-1] == ("cpu", card.dtype)
    # without free memory they stay on the CPU, in float32
    monkeypatch.setattr(texts, "budget", lambda memory: 0)
    with texts.on_device(card):
        assert moves[-1] == ("cpu", torch.float32)
