"""Training of ember: split, schedule, checkpoints that resume exactly, and the critic."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("tokenizers", reason="ember's training needs the extra [train]")

from training.ember import (
    adversarial,
    autoencoder,
    base,
    checkpoint,
    critic,
    data,
    denoiser,
    efficientnet,
    export,
    namer,
    pairs,
    scenes,
    schedule,
    text,
)

WIDTH = text.WIDTH


@pytest.fixture(autouse=True)
def _slim(monkeypatch):
    monkeypatch.setattr(denoiser, "CHANNELS", (8, 8, 16, 16))


@pytest.fixture
def work(tmp_path):
    """A work folder with six views of three texts, small enough for one or two steps."""
    torch.manual_seed(0)
    shape = {
        "latents": torch.randn(6, 4, 8, 16).half(),
        "texts": [["a"], ["b"], ["a", "b"]] * 2,
        "tags": [["a", "c"], ["b"], ["a", "b"]] * 2,
        "real": torch.tensor([True, True, True, False, False, False]),
    }
    torch.save({"shapes": {(8 + i, 16): shape for i in range(3)}, "scale": 1.0}, tmp_path / "latents.pt")
    tokenizer = text.train_tokenizer(["a b", "b a"], tmp_path / "tokenizer")
    checkpoint.save(tmp_path / "text.pt", model=text.build(tokenizer).state_dict())
    return tmp_path


def test_held_out_pictures_are_not_used_and_licences_are_listed():
    rows = data.manifest_rows()
    learnt = {row["file"] for row in rows if not data.is_held_out(row["file"])}
    judged = {row["file"] for row in rows if data.is_held_out(row["file"])}
    assert len(learnt) > 250
    assert len(judged) > 30
    assert not learnt & judged
    assert all(row["licence"] for row in rows)


def test_the_schedule_keeps_variance_and_restores_the_picture():
    # the first of the scheduler's times still has a little noise
    ratio = torch.linspace(0.03, 1, 50)
    times = schedule.time_of(ratio)
    alpha, sigma = schedule.alpha_sigma(times)
    torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones(50, 1, 1, 1))
    torch.testing.assert_close((sigma / (alpha + sigma)).flatten(), ratio, atol=2e-3, rtol=0)
    picture, noise = torch.randn(50, 4, 2, 2), torch.randn(50, 4, 2, 2)
    velocity = alpha * noise - sigma * picture
    found = schedule.predict_x0(schedule.renoise(picture, noise, times), velocity, times)
    torch.testing.assert_close(found, picture, atol=1e-5, rtol=0)


def test_resumed_training_equals_uninterrupted_training(tmp_path):
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


def random_state(name):
    """Return random entries of an EfficientNet-Lite file `name`."""
    generator = torch.Generator().manual_seed(0)
    net = efficientnet.EfficientNetFeatures(efficientnet.MORE[name])
    state = {}
    blocks = [block for stage in net.stages for block in stage]
    layers = [("_conv_stem", "_bn0", net.stem)]
    for number, block in enumerate(blocks):
        names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        for (convolution, norm), layer in zip(names[-len(block.layers) :], block.layers, strict=True):
            layers.append((f"_blocks.{number}.{convolution}", f"_blocks.{number}.{norm}", layer))
    for convolution, norm, layer in layers:
        fan = layer.weight[0].numel()
        out = len(layer.weight)
        state[f"{convolution}.weight"] = torch.randn(layer.weight.shape, generator=generator) * (2 / fan) ** 0.5
        state[f"{norm}.weight"] = 1 + torch.rand(out, generator=generator)
        state[f"{norm}.bias"] = torch.randn(out, generator=generator)
        state[f"{norm}.running_mean"] = torch.randn(out, generator=generator)
        state[f"{norm}.running_var"] = 0.5 + torch.rand(out, generator=generator)
    return state


@pytest.mark.parametrize(("name", "blocks"), [("lite0", 16), ("lite1", 21)])
def test_efficientnet_folds_the_normalisations(tmp_path, name, blocks):
    state = random_state(name)
    torch.save(state, tmp_path / f"efficientnet-{name}.pth")
    net = efficientnet.load(tmp_path, name)
    assert sum(len(stage) for stage in net.stages) == blocks
    picture = torch.rand(2, 3, 65, 96) * 2 - 1
    # TensorFlow's SAME at stride 2: an odd side is padded at both ends, an even one at its end
    padded = nn.functional.pad(picture, (0, 1, 1, 1))
    x = nn.functional.conv2d(padded, state["_conv_stem.weight"], stride=2)
    mean, var, weight, bias = (state[f"_bn0.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
    expected = nn.functional.batch_norm(x, mean, var, weight, bias, eps=1e-3).clamp(0, 6)
    torch.testing.assert_close(net.stem(picture), expected, atol=1e-4, rtol=1e-4)
    maps = net(picture)
    assert [m.shape[1] for m in maps] == list(efficientnet.WIDTHS)
    assert [tuple(m.shape[2:]) for m in maps] == [(9, 12), (5, 6), (3, 3)]
    other = "lite1" if name == "lite0" else "lite0"
    (tmp_path / f"efficientnet-{name}.pth").rename(tmp_path / f"efficientnet-{other}.pth")
    with pytest.raises(ValueError, match=f"is not that of EfficientNet-{other}"):
        efficientnet.load(tmp_path, other)


def test_efficientnet_of_another_depth_is_refused(tmp_path):
    torch.save(random_state("lite1"), tmp_path / "efficientnet-lite0.pth")
    with pytest.raises(ValueError, match=r"efficientnet-lite0\.pth"):
        efficientnet.load(tmp_path, "lite0")


def test_the_critic_gets_parts_and_windows():
    rng = np.random.default_rng(0)
    latents = torch.arange(30.0 * 40).view(1, 1, 30, 40).repeat(8, 4, 1, 1)
    near = critic.parts(latents, rng)
    assert near.shape == (8, 4, critic.PART, critic.PART)
    assert len({float(one[0, 0, 0]) for one in near}) > 1
    for one in near:
        corner = one[0, 0, 0]
        assert torch.equal(one[0] - corner, latents[0, 0, : critic.PART, : critic.PART])
    assert critic.parts(latents[:, :, :9], rng).shape == (8, 4, 9, 9)
    pictures = torch.rand(4, 3, 48, 80, requires_grad=True)
    shown = critic.windows(pictures, rng)
    assert shown.shape == (4, 3, critic.INPUT_SIDE, critic.INPUT_SIDE)
    shown.sum().backward()
    # a square of a wide picture covers only a part
    assert 0 < float((pictures.grad != 0).float().mean()) < 0.7


def test_the_critic_updates_its_scale_and_has_gradients_everywhere():
    torch.manual_seed(0)
    judge = critic.Critic(WIDTH).eval()
    maps = [5 + 3 * torch.randn(6, width, 8, 8) for width in efficientnet.WIDTHS]
    judge.learn_scale(maps)
    for head, x in zip(judge.heads, maps, strict=True):
        assert abs(float(head.norm(x).mean())) < 0.05
        assert abs(float(head.norm(x).std()) - 1) < 0.05
    seen = [x.clone().requires_grad_() for x in maps]
    scores = judge(seen, torch.randn(6, 77, WIDTH))
    assert scores.shape == (6, len(maps))
    scores.mean().backward()
    assert all(float(x.grad.abs().amin((1, 2, 3)).min()) >= 0 and bool((x.grad.abs().sum(1) > 0).all()) for x in seen)
    assert all(p.grad is not None for p in judge.parameters())


def test_pairs_follow_the_guided_path_from_their_noise():
    seen = []

    class Ideal(nn.Module):
        """A denoiser that predicts the picture: 0.5 with its text (of ones), -0.5 without."""

        def forward(self, z, times, texts):
            seen.append(len(z))
            alpha, sigma = schedule.alpha_sigma(times)
            picture = texts.mean((1, 2)).sub(0.5).view(-1, 1, 1, 1).expand_as(z)
            noise = (z - alpha * picture) / sigma
            return SimpleNamespace(sample=alpha * noise - sigma * picture)

    z = torch.randn(3, 4, 6, 8)
    painted = pairs.paint(Ideal(), z, torch.ones(3, 77, WIDTH), torch.zeros(1, 77, WIDTH))
    # guidance moves beyond the text's picture by its scale
    expected = -0.5 + pairs.GUIDANCE
    torch.testing.assert_close(painted, torch.full_like(z, expected), atol=0.05, rtol=0)
    assert seen == [6] * pairs.STEPS


def test_the_coarse_target_ignores_fine_strokes():
    torch.manual_seed(0)
    picture = torch.randn(2, 4, 8, 16)
    strokes = torch.tensor([1.0, -1.0]).repeat(8).expand(2, 4, 8, 16)
    coarse = adversarial.coarse
    assert float(adversarial.huber(coarse(picture + strokes), coarse(picture)).max()) < 1e-6
    assert float(adversarial.huber(coarse(picture + 1), coarse(picture)).min()) > 0.9
    push, pull = torch.tensor([0.0, 1000.0]), torch.tensor([3.0, 4.0])
    expected = torch.tensor([0.6 * adversarial.TARGET_WEIGHT, 1 + 0.8 * adversarial.TARGET_WEIGHT])
    torch.testing.assert_close(adversarial.balanced(push, pull), expected)


def test_views_have_the_tags_of_their_texts(work):
    views = denoiser.Views(work, np.random.default_rng(0))
    assert views.tags == ["a", "b", "c"]
    for _ in range(10):
        batch = views.draw(6, dropout=0.0)
        assert batch.texts.shape == (6, 77, WIDTH)
        torch.testing.assert_close(batch.named.sum(1), torch.ones(6))
        for words, named in zip(batch.texts, batch.named, strict=True):
            # every text of these views is one tag
            which = [torch.equal(words, one) for one in views.embed(["a", "b"])].index(True)
            assert named.tolist() == [[1, 0, 0], [0, 1, 0]][which]
    assert float(views.draw(6, dropout=1.0).named.sum()) == 0


def test_a_right_tag_has_less_loss_than_a_wrong_one():
    named = torch.eye(3)[[0, 1]]
    assert float(namer.misnaming(10 * named, named)) < 0.01
    assert float(namer.misnaming(10 * torch.eye(3)[[2, 2]], named)) > 5


@pytest.fixture
def perceptual(tmp_path_factory):
    """A folder with an EfficientNet of random weights."""
    folder = tmp_path_factory.mktemp("perceptual")
    torch.save(random_state("lite0"), folder / "efficientnet-lite0.pth")
    return folder


def test_denoiser_namer_and_adversary_take_steps_and_resume(work, perceptual, monkeypatch):
    monkeypatch.setattr(denoiser, "BATCH", 2)
    monkeypatch.setattr(adversarial, "BATCH", 4)
    monkeypatch.setattr(adversarial, "FROM_NOISE", 2)
    monkeypatch.setattr(adversarial, "SECOND_STEP", 1)
    monkeypatch.setattr(pairs, "BATCH", 2)
    monkeypatch.setattr(pairs, "STEPS", 2)
    monkeypatch.setattr(namer, "VIEWS", 32)
    checkpoint.save(work / "autoencoder.pt", average=autoencoder.build().state_dict())
    denoiser.train(work, steps=1, peak=1e-4, seed=0)
    before = denoiser.load(work)
    namer.train(work, perceptual, seed=0)
    pairs.make(work, count=6, seed=0)
    assert [len(one.noise) for one in pairs.load(work)] == [6, 2, 2]
    adversarial.train(work, perceptual, steps=1, seed=0)
    adversarial.train(work, perceptual, steps=2, seed=0)
    after = denoiser.load(work, "generator.pt")
    assert checkpoint.load(work / "generator.pt")["step"] == checkpoint.load(work / "critic.pt")["step"] == 2
    changed = [not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)]
    assert sum(changed) > len(changed) / 2
    assert all(torch.isfinite(p).all() for p in after.parameters())
    half = export.blended(work, "generator.pt", 0.5)
    for a, b, c in zip(before.parameters(), after.parameters(), half.parameters(), strict=True):
        torch.testing.assert_close(c, (a + b) / 2)


@pytest.mark.parametrize("kind", ["mountains", "mandala", "neon"])
def test_scenes_depend_only_on_their_arguments(kind):
    one, same, other = (scenes.render(kind, seed=seed, width=64, height=48) for seed in (5, 5, 6))
    assert one.picture.shape == (48, 64, 3)
    assert one.picture.dtype == np.uint8
    assert one.caption
    assert one.tags
    np.testing.assert_array_equal(one.picture, same.picture)
    assert (one.picture != other.picture).any()


def test_the_base_is_kept_in_one_file_and_read_back(work, tmp_path):
    denoiser.train(work, steps=2, peak=1e-4, seed=0)
    kept = tmp_path / "base.safetensors"
    assert base.write(work, kept) == 2
    weights, step = base.read(kept)
    assert step == 2
    trained = denoiser.load(work).state_dict()
    assert weights.keys() == trained.keys()
    assert all(torch.allclose(weights[name], value, atol=1e-3, rtol=1e-3) for name, value in trained.items())
