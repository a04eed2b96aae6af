"""Depth maps by a toy Depth Anything of transformers' own classes, loaded like a published one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from reactive.assist.depth import OUTLIERS, estimate_depth, load_depth, seen_size
from reactive.cli import main
from reactive.errors import ModelError


@pytest.fixture(scope="module")
def toy_depth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Depth Anything of one narrow layer, saved as on the hub."""
    import torch
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=8,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=28,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=8,
        neck_hidden_sizes=[4, 4, 8, 8],
        fusion_hidden_size=4,
        head_hidden_size=4,
        reassemble_factors=[4, 2, 1, 0.5],
    )
    folder = tmp_path_factory.mktemp("depth")
    model = DepthAnythingForDepthEstimation(config)
    # random weights give little more than 0, which the last layer cuts off
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(25 if value.ndim > 1 else 1)
        model.head.conv3.bias.fill_(100)
    model.save_pretrained(folder)
    return folder


def photograph(width: int, height: int) -> np.ndarray:
    small = np.random.default_rng(width).integers(0, 255, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("size", "seen"),
    [((518, 518), (518, 518)), ((1920, 1080), (924, 518)), ((300, 400), (518, 686)), ((40, 4000), (14, 1554))],
)
def test_the_network_sees_whole_patches(size: tuple[int, int], seen: tuple[int, int]) -> None:
    assert seen_size(*size, 14) == seen


def test_a_map_has_the_networks_order_of_depth(toy_depth: Path) -> None:
    import torch

    model = load_depth(str(toy_depth))
    picture = photograph(518, 518)
    found = estimate_depth(picture, model)
    assert found.shape == (518, 518)
    assert (found.min(), found.max()) == (0, 255)
    normed = (picture / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.inference_mode():
        own = model(torch.from_numpy(normed).float().permute(2, 0, 1)[None]).predicted_depth[0].numpy()
    # the map spends its levels on all but the furthest and nearest places
    own = own.clip(*np.quantile(own, [OUTLIERS, 1 - OUTLIERS]))
    assert np.corrcoef(own.ravel(), found.ravel())[0, 1] > 0.99
    wide = estimate_depth(photograph(320, 180), model)
    assert wide.shape == (180, 320)


def test_the_command_writes_maps_once(toy_depth: Path, tmp_path: Path) -> None:
    for name in ("one.jpg", "two.png"):
        Image.fromarray(photograph(80, 60)).save(tmp_path / name)
    told = ["depth", str(tmp_path), "--model", str(toy_depth)]
    done = CliRunner().invoke(main, told)
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "one.depth.png") as written:
        assert written.size == (80, 60)
    assert (tmp_path / "two.depth.png").is_file()
    (tmp_path / "two.depth.png").write_bytes(b"drawn by hand")
    again = CliRunner().invoke(main, [*told, "--json"])
    assert json.loads(again.output) == {"written": []}
    assert (tmp_path / "two.depth.png").read_bytes() == b"drawn by hand"
    assert "2 photographs had a depth map already" in CliRunner().invoke(main, told).output
    forced = json.loads(CliRunner().invoke(main, [*told, "--force", "--json"]).output)
    assert len(forced["written"]) == 2


def test_missing_and_other_models_are_refused(tmp_path: Path, toy_model: Path) -> None:
    with pytest.raises(ModelError, match="Depth Anything"):
        load_depth(str(toy_model))
    with pytest.raises(ModelError, match="is for stems"):
        load_depth("htdemucs")
    Image.fromarray(photograph(8, 8)).save(tmp_path / "one.png")
    done = CliRunner().invoke(main, ["depth", str(tmp_path / "one.png")])
    assert done.exit_code != 0
    assert "reactive models pull depth-anything-small" in done.output
    assert not (tmp_path / "one.depth.png").exists()
