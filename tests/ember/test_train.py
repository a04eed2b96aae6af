"""How ember is trained: split, schedule, checkpoints that resume exactly, and the critic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("tokenizers", reason="ember's training needs the extra [train]")

from reactive.ember.train import checkpoint, critic, data, denoiser, distillation, scenes, schedule, text

WIDTH = text.WIDTH


@pytest.fixture(autouse=True)
def _slim(monkeypatch):
    monkeypatch.setattr(denoiser, "CHANNELS", (8, 8, 16, 16))


@pytest.fixture
def work(tmp_path):
    """A work folder with six views of three texts, small enough for a step or two."""
    generator = torch.Generator().manual_seed(0)
    shape = {
        "latents": torch.randn(6, 4, 8, 16, generator=generator).half(),
        "labels": torch.tensor([0, 1, 2, 0, 1, 2]),
        "real": torch.tensor([True, True, True, False, False, False]),
    }
    torch.save(
        {
            "shapes": {(8 + i, 16): shape for i in range(3)},
            "scale": 1.0,
            "texts": ["", "a", "b"],
            "embeddings": torch.randn(3, 77, WIDTH, generator=generator).half(),
            "choices": [[1], [2], [1, 2]],
            "empty": 0,
        },
        tmp_path / "latents.pt",
    )
    return tmp_path


def test_held_out_pictures_are_never_learnt_and_licences_are_named():
    rows = data.manifest_rows()
    learnt = {row["file"] for row in rows if not data.is_held_out(row["file"])}
    judged = {row["file"] for row in rows if data.is_held_out(row["file"])}
    assert len(learnt) > 250
    assert len(judged) > 30
    assert not learnt & judged
    assert all(row["licence"] and row["licence"] != data.UNRESOLVED for row in rows)


def test_schedule_keeps_variance_and_gives_the_picture_back():
    # the first of the scheduler's times is not quite free of noise
    ratio = torch.linspace(0.03, 1, 50)
    times = schedule.time_of(ratio)
    alpha, sigma = schedule.alpha_sigma(times)
    torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones(50, 1, 1, 1))
    torch.testing.assert_close((sigma / (alpha + sigma)).flatten(), ratio, atol=2e-3, rtol=0)
    picture, noise = torch.randn(50, 4, 2, 2), torch.randn(50, 4, 2, 2)
    velocity = alpha * noise - sigma * picture
    found = schedule.clean(schedule.renoise(picture, noise, times), velocity, times)
    torch.testing.assert_close(found, picture, atol=1e-5, rtol=0)


def test_training_resumed_equals_training_in_one_go(tmp_path):
    def train(path, steps):
        torch.manual_seed(3)
        rng = np.random.default_rng(3)
        net = nn.Linear(4, 4)
        run = checkpoint.Run(path, net, rng, steps=steps, peak=0.01, decay=0.9, save_every=3)
        for _ in run:
            given = torch.from_numpy(rng.normal(size=(8, 4))).float() + torch.rand(8, 4)
            run.descend((net(given) - given).square().mean())
            if run.step == steps - 3 and path.stem == "cut":
                return
        return

    train(tmp_path / "whole.pt", 6)
    train(tmp_path / "cut.pt", 6)
    assert checkpoint.load(tmp_path / "cut.pt")["step"] == 3
    (tmp_path / "cut.pt").rename(tmp_path / "resumed.pt")
    train(tmp_path / "resumed.pt", 6)
    whole, resumed = (checkpoint.load(tmp_path / f"{name}.pt") for name in ("whole", "resumed"))
    for name, value in whole["average"].items():
        assert torch.equal(value, resumed["average"][name])


def test_critic_sees_what_the_denoiser_sees_and_tells_the_picture_where_to_go():
    torch.manual_seed(0)
    net = denoiser.build().eval().requires_grad_(False)
    z, times, texts = torch.randn(2, 4, 16, 16), torch.tensor([100.0, 900.0]), torch.randn(2, 77, WIDTH)
    seen: list[torch.Tensor] = []
    handle = net.mid_block.register_forward_hook(lambda _, __, out: seen.append(out))
    net(z, times, texts)
    handle.remove()
    latents = z.requires_grad_()
    maps = critic.features(net, latents, times, texts)
    torch.testing.assert_close(maps[-1], seen[0], atol=1e-5, rtol=1e-4)
    assert [m.shape[1] for m in maps] == [*denoiser.CHANNELS, denoiser.CHANNELS[-1]]
    judge = critic.Critic(net)
    scores = judge(maps, texts)
    # one place of the coarsest map counts as many times as it covers places of the finest
    assert scores.shape == (2, 5 * 16 * 16)
    scores.mean().backward()
    assert latents.grad is not None
    assert float(latents.grad.abs().sum()) > 0
    assert all(p.grad is not None for p in judge.parameters())
    assert all(p.grad is None for p in net.parameters())


def test_two_pulls_are_weighed_by_their_lengths():
    pull, push = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 1000.0])
    both = distillation.balanced(pull, push)
    torch.testing.assert_close(both - pull, torch.tensor([0.0, 5.0 * distillation.CRITIC_PULL]))


def test_denoiser_and_distillation_take_steps_and_resume(work, monkeypatch):
    monkeypatch.setattr(denoiser, "BATCH", 2)
    monkeypatch.setattr(distillation, "BATCH", 2)
    denoiser.train(work, steps=1, peak=1e-4, seed=0)
    before = denoiser.load(work)
    distillation.train(work, steps=1, seed=0)
    distillation.train(work, steps=2, seed=0)
    after = denoiser.load(work, "student.pt")
    assert checkpoint.load(work / "student.pt")["step"] == checkpoint.load(work / "critic.pt")["step"] == 2
    changed = [not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)]
    assert sum(changed) > len(changed) / 2
    assert all(torch.isfinite(p).all() for p in after.parameters())


@pytest.mark.parametrize("kind", ["mountains", "mandala", "neon"])
def test_scenes_are_their_numbers_alone(kind):
    one, same, other = (scenes.render(kind, seed=seed, width=64, height=48) for seed in (5, 5, 6))
    assert one.picture.shape == (48, 64, 3)
    assert one.picture.dtype == np.uint8
    assert one.caption
    assert one.tags
    np.testing.assert_array_equal(one.picture, same.picture)
    assert (one.picture != other.picture).any()
