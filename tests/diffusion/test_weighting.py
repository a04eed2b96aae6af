"""Weights within prompts and long prompts: syntax, vectors, and texts independent of their neighbours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import load_model
from reactive.diffusion.models.weighting import unweighted, weighted_pieces
from tests.diffusion.toys import save_toy


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a red sea", [("a red sea", 1.0)]),
        ("a (red) sea", [("a ", 1.0), ("red", 1.1), (" sea", 1.0)]),
        ("a (red:1.3) sea", [("a ", 1.0), ("red", 1.3), (" sea", 1.0)]),
        ("((red))", [("red", 1.1 * 1.1)]),
        ("(a (red:2) sea:0.5)", [("a ", 0.5), ("red", 1.0), (" sea", 0.5)]),
        ("[grey] sky", [("grey", 1 / 1.1), (" sky", 1.0)]),
        (r"a \(red\) sea", [("a (red) sea", 1.0)]),
        ("a (red sea", [("a (red sea", 1.0)]),
        ("a red) sea", [("a red) sea", 1.0)]),
        ("time 12:30", [("time 12:30", 1.0)]),
        ("(sea:99)", [("sea", 10.0)]),
        ("", []),
    ],
)
def test_the_grammar_of_weights(text: str, pieces: list[tuple[str, float]]) -> None:
    found = weighted_pieces(text)
    assert [piece for piece, _ in found] == [piece for piece, _ in pieces]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in pieces])
    assert unweighted(text) == "".join(piece for piece, _ in pieces)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_weights_and_long_prompts(tmp_path: Path, family: str) -> None:
    model = load_model(str(save_toy(tmp_path / "model", family=family)), steps=1, guidance=1.0, dtype="float32")
    plain, same, strong = (
        PromptBank(model, [text]).embeddings.tokens[0] for text in ("red sea", "(red:1) sea", "(red:1.5) sea")
    )
    assert torch.allclose(plain, same, atol=1e-5)
    ratio = strong / plain
    # three letters of one word weigh 1.5 times as much as those of the other
    assert torch.allclose(ratio[1:4] / ratio[4:7], torch.full_like(ratio[1:4], 1.5), atol=1e-2)
    long = "a b c d e f g h i j k l m n o p q r s"
    bank = PromptBank(model, ["snow", long, f"{long} t u"])
    assert bank.embeddings.tokens.shape[1] == 2 * 16
    core = Core(model, bank, batch=4, width=64, height=64)
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(1))
    pictures = core.imagine([FrameRequest(i, i, 0.0, 1.0, (noise,)) for i in range(3)])
    assert not torch.equal(pictures[1], pictures[2])
    alone = Core(model, PromptBank(model, ["snow"]), batch=4, width=64, height=64)
    there = alone.imagine([FrameRequest(0, 0, 0.0, 1.0, (noise,))])[0]
    assert (there.int() - pictures[0].int()).abs().max() <= 1
    assert (pictures[0].int() - pictures[1].int()).abs().max() > 1
