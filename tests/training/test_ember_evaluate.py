"""The evaluation of ember: which tags are tested, and how right answers are recognised."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("scipy", reason="ember's evaluation needs scipy")

from training.ember import evaluate
from training.ember.data import Captioned


def captioned(*tags: str) -> Captioned:
    return Captioned("0001.jpg", np.zeros((8, 8, 3), np.uint8), "", "", tags)


def test_tags_that_share_pictures_are_not_tested_together():
    # half of the seas are blue, all storms are dark: those two tags are removed, as are rare ones and ones without held-out pictures
    learned = [captioned("sea", "blue")] * 8 + [captioned("sea")] * 8 + [captioned("storm", "dark")] * 8
    learned += [captioned("tree", "blue")] * 8 + [captioned("dark", "blue")] * 8 + [captioned("rare")] * 3
    learned += [captioned("unseen")] * 9
    held_out = [captioned("sea", "blue", "storm", "dark", "tree", "rare")]
    assert evaluate.tags_to_ask(learned, held_out, 3) == ["sea", "storm", "tree"]
    assert evaluate.tags_to_ask(learned, held_out, 20) == ["blue", "dark", "sea", "storm", "tree"]


def test_the_classifier_does_not_depend_on_the_tags_frequency():
    generator = torch.Generator().manual_seed(0)
    truth = torch.tensor([0] * 90 + [1] * 10)
    tags = torch.eye(2)[truth]
    features = torch.randn(100, 8, generator=generator) + 4 * torch.eye(8)[truth]
    classifier = evaluate.TagClassifier(evaluate.Real(features, tags, torch.empty(0)))
    assert torch.equal(classifier.scores(features).argmax(1), truth)
    # between the two neither is preferred for its frequency
    middle = features[truth == 0].mean(0) / 2 + features[truth == 1].mean(0) / 2
    scores = classifier.scores(middle[None])[0]
    assert abs(float(scores[0] - scores[1])) < 1.0


def test_distances_of_sets_of_features():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(4000, 3, generator=generator)
    assert abs(evaluate.frechet(a, a)) < 1e-3
    # two normal distributions with the same covariance are as far apart as their means
    assert evaluate.frechet(a, a + torch.tensor([2.0, 0.0, 0.0])) == pytest.approx(4.0, abs=1e-3)
    assert float(evaluate.nearest(a[:5], a).max()) == pytest.approx(0.0, abs=1e-5)
    assert float(evaluate.nearest(a[:5], -a[:5] * 0 + torch.eye(3)[[0, 1, 2, 0, 1]]).min()) >= 0


def test_centred_squares_are_cropped_from_the_centre():
    picture = torch.zeros(1, 3, 40, 80)
    picture[..., 20:60] = 1.0
    assert evaluate.centred_squares(picture, 20).shape == (1, 3, 20, 20)
    torch.testing.assert_close(evaluate.centred_squares(picture, 20), torch.ones(1, 3, 20, 20))


def test_several_models_are_columns_of_one_table():
    first = {"psnr_db": 27.123456, "steps_1": {"fidelity": 0.1}}
    second = {"psnr_db": 28.0, "more": 3}
    lines = evaluate.table({"ember": first, "/somewhere/other": second}).splitlines()
    assert lines[0].split() == ["ember", "other"]
    assert [line.split() for line in lines[1:]] == [
        ["psnr_db", "27.123", "28.000"],
        ["steps_1", "fidelity", "0.100"],
        ["more", "3"],
    ]
