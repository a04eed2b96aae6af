"""Devices: which one is used, the hint if torch does not see a GPU, and that nothing on a GPU is float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.weak import WeakIdKeyDictionary

from reactive.diffusion.backend import builds, device
from reactive.diffusion.core import Core
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import load_model
from reactive.diffusion.motion.lens import through_lens
from reactive.errors import ModelError
from tests.diffusion.test_footprint import requests

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_guide_has_the_table_that_doctor_uses() -> None:
    text = README.read_text(encoding="utf-8")
    assert builds.table() in text
    assert builds.GET_STARTED in text


@pytest.mark.parametrize(
    ("there", "expected"), [((), "cpu"), (("mps",), "mps"), (("xpu", "mps"), "xpu"), (("cuda", "xpu"), "cuda")]
)
def test_auto_takes_the_best_there_is(monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], expected: str) -> None:
    monkeypatch.setattr(device, "has_device", lambda kind: kind == "cpu" or kind in there)
    assert device.choose_device("auto") == expected
    for kind in device.CARDS:
        if kind in there:
            assert device.choose_device(kind) == kind
        else:
            with pytest.raises(ModelError, match=f"sees no {kind}"):
                device.choose_device(kind)
    with pytest.raises(ModelError, match="no device"):
        device.choose_device("tpu")
    assert device.choose_dtype("mps") == device.choose_dtype("xpu") == torch.float16


def machine(root: Path, system: str = "Linux", processor: str = "x86_64", **printed: str) -> builds.Machine:
    return builds.Machine(
        system, processor, root, lambda program, *arguments: printed.get(program.replace("-", "_"), "")
    )


def on_the_bus(root: Path, vendor: str, address: str) -> Path:
    place = root / "sys/devices" / address
    place.mkdir(parents=True)
    (place / "vendor").write_text(vendor + "\n")
    card = root / "sys/class/drm" / f"card{address[-1]}"
    card.mkdir(parents=True)
    (card / "device").symlink_to(place)
    return root


def test_cards_are_found_without_torch(tmp_path: Path) -> None:
    assert builds.cards(machine(tmp_path / "none")) == ()
    assert builds.cards(machine(on_the_bus(tmp_path / "a", "0x1002", "0000:03:00.0"))) == ("AMD",)
    assert builds.cards(machine(on_the_bus(tmp_path / "b", "0x8086", "0000:03:00.0"))) == ("Intel",)
    # integrated graphics do not count as a card
    assert builds.cards(machine(on_the_bus(tmp_path / "c", "0x8086", "0000:00:02.0"))) == ()
    assert builds.cards(machine(on_the_bus(tmp_path / "d", "0x1234", "0000:03:00.0"))) == ()
    (tmp_path / "e/proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "e/proc/driver/nvidia/version").write_text("NVRM version")
    assert builds.cards(machine(tmp_path / "e")) == ("NVIDIA",)
    assert builds.cards(machine(tmp_path, nvidia_smi="GPU 0: NVIDIA GeForce RTX 3060")) == ("NVIDIA",)
    for name, expected in (
        ("AMD Radeon RX 7800 XT", ("AMD",)),
        ("Intel(R) Arc(TM) A770 Graphics", ("Intel",)),
        ("Intel(R) UHD Graphics", ()),
        ("NVIDIA GeForce GTX 1650", ("NVIDIA",)),
    ):
        assert builds.cards(machine(tmp_path, "Windows", "AMD64", powershell=name + "\r\n")) == expected
    assert builds.cards(machine(tmp_path, "Darwin", "arm64")) == ("Apple",)
    assert builds.cards(machine(tmp_path, "Darwin", "x86_64", sysctl="Apple M2")) == ("Apple",)
    assert builds.cards(machine(tmp_path, "Darwin", "x86_64", sysctl="Intel(R) Core(TM) i5")) == ()


def test_the_hint_is_printed_only_if_torch_does_not_use_the_card(tmp_path: Path) -> None:
    windows = machine(tmp_path, "Windows", "AMD64", nvidia_smi="552.22\n", powershell="NVIDIA GeForce RTX 4070\n")
    told = builds.line_for(windows, ())
    assert "choose Windows, Pip and CUDA" in told
    assert "its driver is 552" in told
    assert builds.GET_STARTED in told
    assert "\n" not in told
    assert builds.line_for(windows, ("cuda",)) == ""
    assert builds.line_for(machine(tmp_path), ()) == ""
    shown = [builds.line_for(machine(tmp_path, "Darwin", "arm64"), ())]
    shown.append(builds.line_for(machine(on_the_bus(tmp_path / "x", "0x8086", "0000:03:00.0")), ()))
    assert "arm64" in shown[0]
    assert "XPU" in shown[1]
    for build in builds.BUILDS:
        assert build.device in device.CARDS
        assert "http" not in build.how


class NoFloat64(TorchDispatchMode):
    """Refuses float64 on the pretended card: weights and all computed tensors."""

    def __init__(self, there: list[torch.Tensor]) -> None:
        super().__init__()
        self.there = WeakIdKeyDictionary()
        self.looked = 0
        for tensor in there:
            self.there[tensor] = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, torch.Tensor)]
        if any(part in self.there for part in given):
            made = [part for part in tree_flatten(result)[0] if isinstance(part, torch.Tensor)]
            self.looked += 1
            # a scalar of the host is passed as an argument
            bad = [
                part for part in (*given, *made) if part.dtype == torch.float64 and (part.dim() or part in self.there)
            ]
            if bad:
                raise RuntimeError(f"float64 on the card: {func}")
            for part in made:
                self.there[part] = True
        return result


def test_the_guard_detects_float64() -> None:
    weight = torch.ones(3)
    with NoFloat64([weight]):
        assert (weight * 2.0).dtype == torch.float32
        for wrong in (lambda: (weight * 2).double(), lambda: weight * torch.ones(3, dtype=torch.float64)):
            with pytest.raises(RuntimeError, match="float64 on the card"):
                wrong()


@pytest.mark.parametrize(
    "scheduler", ["LCMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "DDIMScheduler"]
)
def test_nothing_on_a_card_is_float64(tmp_path: Path, scheduler: str) -> None:
    """Apple GPUs have no float64: from embedding to lens no tensor on the card may use it."""
    from reactive.diffusion.colour import to_lab
    from reactive.diffusion.motion.camera import warp
    from tests.toy import flat_timeline, save_toy_model

    torch.set_num_threads(1)
    model = load_model(
        str(save_toy_model(tmp_path / "toy", scheduler=scheduler, prediction="epsilon")), steps=3, guidance=2.0
    )
    parts = (model.network, model.vae, model.text_encoder)
    weights = [weight for part in parts for weight in (*part.parameters(), *part.buffers())]
    with NoFloat64(weights) as guard:
        bank = PromptBank(model, ("a", "b"), negatives=("c", ""))
        core = Core(model, bank, batch=2, width=64, height=64, slices=1)
        pictures = core.imagine(requests(core, 2))
        columns = (
            flat_timeline(2, lens_zoom=1.2, lens_rotate=5.0).columns
            if "lens_rotate" in _columns()
            else flat_timeline(2).columns
        )
        through_lens(pictures, columns, np.array([0, 1]))
        warp(pictures.float(), np.array([[1.1, 3.0, 0.1, 0.0]] * 2))
        to_lab(pictures.float() / 127.5 - 1)
        assert guard.looked > 100


def _columns() -> set[str]:
    from tests.toy import flat_timeline

    return set(flat_timeline(1).columns)
