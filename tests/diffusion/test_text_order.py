"""Large text encoders and the network, one after the other on a card whose memory does not hold both."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from reactive.diffusion.backend import shapes
from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models import diffusers_folder, text_encoders, text_order
from reactive.diffusion.models.conditioning import PromptBank, texts_to_embed
from reactive.diffusion.models.families import FAMILIES, Conditioning
from reactive.diffusion.models.families.family import TextModel
from reactive.diffusion.models.families.flux import FLUX
from reactive.diffusion.models.load import load_model
from reactive.diffusion.models.model import Model
from reactive.errors import ModelError
from tests.diffusion.family_toys import TOYS, save_family
from tests.pretended import Card

PROMPTS = ["a red sea", "a blue hill", "a fire"]
NEGATIVES = ["grey", "", "dull"]
TEXTS = texts_to_embed(PROMPTS, NEGATIVES, range(len(PROMPTS)))
LARGE = tuple(family.name for family in FAMILIES if family.large_texts)
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))


class Watched:
    """The order in which a folder's parts are loaded, and what the card holds then, in bytes."""

    def __init__(self, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loads: list[tuple[str, int]] = []
        load_parts = diffusers_folder._load_parts

        def watched(folder: Path, name: str, family: Any, parts: Any, dtype: torch.dtype) -> Any:
            # tokenizers alone are read to count tokens
            self.loads += [(part, card.used) for part in parts if part in (family.network, "text_encoder")]
            return load_parts(folder, name, family, parts, dtype)

        monkeypatch.setattr(diffusers_folder, "_load_parts", watched)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, torch.dtype]]]:
    """Each text that FLUX.1 embeds, on which device and in which format."""
    noted: list[tuple[str, str, torch.dtype]] = []
    embed = FLUX.embed

    def watching(model: TextModel, texts: list[str]) -> Conditioning:
        weight = next(model.text_encoder.parameters())
        noted.extend((text, weight.device.type, weight.dtype) for text in texts)
        return embed(model, texts)

    object.__setattr__(FLUX, "embed", watching)
    yield noted
    object.__setattr__(FLUX, "embed", embed)


@pytest.fixture
def watched(card: Card, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(card, monkeypatch)


def held(model: Model) -> int:
    """The bytes of network and autoencoder."""
    return sum(shapes._bytes(part) for part in (model.network, model.vae))


def banked(folder: Path, prompts: tuple[str, ...] = (), **options: Any) -> tuple[Model, PromptBank]:
    model = load_model(str(folder), device="cuda", dtype="float32", steps=2, prompts=prompts, **options)
    return model, PromptBank(model, PROMPTS, negatives=NEGATIVES)


@pytest.mark.parametrize("name", [name for name in TOYS if name in LARGE])
def test_the_encoder_has_left_before_the_network_comes(
    watched: Watched, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "krea2":
        pytest.importorskip("accelerate")
    save_family(tmp_path / "model", name)
    model, bank = banked(tmp_path / "model", TEXTS)
    # the encoder, then the network, with nothing of the encoder left
    assert [part for part, _ in watched.loads] == ["text_encoder", model.family.network]
    assert [used for _, used in watched.loads] == [0, 0]
    assert model.texts is not None
    assert set(model.texts.ready) == {"", *TEXTS}
    assert {part.tokens.device.type for part in model.texts.ready.values()} == {"cpu"}
    # beside the network, as on a card with room: the same numbers
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "other"))
    _, beside = banked(tmp_path / "model")
    assert [part for part, _ in watched.loads[2:]] == [model.family.network, "text_encoder"]
    assert watched.loads[-1][1] >= held(model)
    for one, other in ((bank.embeddings, beside.embeddings), (bank.empty, beside.empty)):
        assert torch.equal(one.tokens, other.tokens)
        assert (one.pooled is None) == (other.pooled is None)
        assert one.pooled is None or torch.equal(one.pooled, other.pooled)
        assert one.mask is None or torch.equal(one.mask, other.mask)
    assert float((bank.embeddings.tokens[0] - bank.embeddings.tokens[1]).abs().mean()) > 1e-4


def test_memory_that_holds_one_of_both_is_enough(
    watched: Watched, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_family(tmp_path / "model", "z-image")
    most, take = [0], Card.take

    def taken(self: Card, tensor: Any) -> None:
        take(self, tensor)
        most[0] = max(most[0], self.used)

    monkeypatch.setattr(Card, "take", taken)
    model, _ = banked(tmp_path / "model")
    network, beside = held(model), most[0]
    del model
    gc.collect()
    # more than the network alone, and less than the network and what embedding needs
    card.limit = (network + beside) // 2
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "second"))
    with pytest.raises(ModelError, match="not enough memory to embed its prompts"):
        banked(tmp_path / "model")
    gc.collect()
    most[0] = 0
    model, bank = banked(tmp_path / "model", TEXTS)
    assert network < most[0] < card.limit
    card.limit = None
    core = Core(model, bank, batch=1, width=64, height=64)
    noise = torch.randn(model.channels, 8, 8, generator=torch.Generator().manual_seed(1))
    assert core.imagine([FrameRequest(0, 1, 0.5, 1.0, (noise,))]).float().std() > 1


def test_a_second_run_loads_no_encoder(watched: Watched, tmp_path: Path) -> None:
    save_family(tmp_path / "model", "flux")
    _, first = banked(tmp_path / "model", TEXTS)
    assert [part for part, _ in watched.loads] == ["text_encoder", "transformer"]
    watched.loads.clear()
    _, again = banked(tmp_path / "model", TEXTS)
    assert [part for part, _ in watched.loads] == ["transformer"]
    assert torch.equal(first.embeddings.tokens, again.embeddings.tokens)
    # one prompt more is embedded alone, and before the network
    watched.loads.clear()
    model, _ = banked(tmp_path / "model", (*TEXTS, "snow"))
    assert [part for part, _ in watched.loads] == ["text_encoder", "transformer"]
    assert model.texts is not None
    assert "snow" in model.texts.ready


def test_an_encoder_that_does_not_fit_alone_computes_on_the_host(
    card: Card, embedded: list[tuple[str, str, torch.dtype]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_family(tmp_path / "model", "flux")

    def loaded(cache: str) -> Model:
        monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / cache))
        embedded.clear()
        return load_model(str(tmp_path / "model"), device="cuda", dtype="float16", steps=2, prompts=PROMPTS)

    model = loaded("first")
    assert embedded == [(text, "cuda", torch.float16) for text in ("", *PROMPTS)]
    assert model.texts is not None
    # room for the encoder and what it computes, but not for the network beside it: prompts that come later go to the host
    numbers = sum(shapes.text_numbers(*shapes.text_shape(config)) for config in model.texts.configs)
    alone = shapes.embedding_bytes(model.texts.weights, FLUX.text_batch * FLUX.text_tokens, numbers, 2)
    for module in (text_order, text_encoders):
        monkeypatch.setattr(module, "budget", lambda memory: alone)
    PromptBank(loaded("second"), [*PROMPTS, "snow"])
    assert embedded == [*((text, "cuda", torch.float16) for text in ("", *PROMPTS)), ("snow", "cpu", torch.float32)]
    # one byte less is too little for the encoder alone
    monkeypatch.setattr(text_order, "budget", lambda memory: alone - 1)
    model = loaded("third")
    assert embedded == [(text, "cpu", torch.float32) for text in ("", *PROMPTS)]
    tokens = PromptBank(model, PROMPTS).embeddings.tokens
    assert tokens.device.type == "cuda"
    assert tokens.dtype == torch.float16


PRESET = """version = 2
title = "T"
negative = "grey"
[[phase]]
name = "one"
prompts = ["a red sea", "a {blue|green} hill", "a fire"]
"""


def test_renders_sheets_and_previews_embed_nothing_beside_the_network(
    beat_wav: Path,
    beat_analysis: Any,
    embedded: list[tuple[str, str, torch.dtype]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither a prompt, nor a negative, nor what measures the walk; a preview knows the prompts without gaps."""
    from fractions import Fraction

    from reactive import Settings, build_timeline, get_preset, make_clip
    from reactive.live.material import PreviewOptions, load_studio
    from reactive.render.contact import contact_pictures
    from reactive.render.settings import ModelSpec
    from reactive.timeline.shots import shots_of

    preset = tmp_path / "p.toml"
    preset.write_text(PRESET)
    save_family(tmp_path / "model", "flux")
    name = str(tmp_path / "model")
    before: list[int] = []
    load_parts = diffusers_folder._load_parts

    def watched(folder: Path, name: str, family: Any, parts: Any, dtype: torch.dtype) -> Any:
        if family.network in parts:
            before.append(len(embedded))
        return load_parts(folder, name, family, parts, dtype)

    monkeypatch.setattr(diffusers_folder, "_load_parts", watched)

    def cached_in(folder: str) -> None:
        monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / folder))
        embedded.clear()
        before.clear()

    cached_in("clip")
    shape = {"imagine_size": (64, 64), "size": (64, 64), "fps": Fraction(4), "duration": 2.0}
    told = Settings.of(model=name, preset=str(preset), steps=1, device="cpu", dtype="float32", negative="text", **shape)
    assert make_clip(beat_wav, tmp_path / "clip.mp4", told).frames == 8
    assert before == [len(embedded)]
    texts = [text for text, *_ in embedded]
    assert len(texts) == len(set(texts))
    # the empty text is the negative of prompts without one
    assert {"", "grey, text"} < set(texts)
    assert {"a fire", "a red sea", "a blue hill", "a green hill"} & set(texts)

    cached_in("sheet")
    # at the native size a measurement would take long
    (tmp_path / "model" / "reactive.json").write_text('{"walk": 1.0}')
    timeline = build_timeline(beat_analysis, get_preset(str(preset)), samples=16 * 44_100, fps=Fraction(4), seed=3)
    shots = shots_of(timeline, beat_analysis)[:1]
    assert len(contact_pictures(timeline, shots, model=name, steps=1, device="cpu", threads=1)) == 1
    assert before == [len(embedded)]

    cached_in("preview")
    model = ModelSpec(name=name, device="cpu", steps=1, dtype="float32")
    studio = load_studio(PreviewOptions(preset=str(preset), model=model))
    assert studio.model.texts is not None
    assert set(studio.model.texts.ready) == {"", "grey", "a red sea", "a fire"}
    assert before == [len(embedded)]
