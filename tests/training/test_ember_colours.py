"""Colour words, the colours of a crop, and the colour fidelity measure, on pictures of known colour."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="ember's evaluation needs scipy")

from training.ember import colours, composed, fidelity

# typical colours for some of the prompts, sRGB
KNOWN = {
    "crimson smoke over a broken city": "#7c1626",
    "canyon walls glowing orange": "#d8751e",
    "giants of rock in amber haze": "#d6a048",
    "walls of an old fortress in golden light": "#dcb860",
    "a field of yellow flowers": "#d8c232",
    "green fog between tall trees": "#7f9f80",
    "emerald crystal": "#1f8a5a",
    "turquoise water over sand": "#3fb5ae",
    "blue ice under a pale sky": "#a5c8e2",
    "a tower in a dark blue night": "#101c3c",
    "a wet street under violet neon": "#6d3cc4",
    "stars in a purple nebula": "#5d2d7d",
    "a stage in magenta light": "#c23ca8",
    "pink clouds at dawn": "#e2aebb",
    "columns of white marble": "#e4e2dc",
    "a gate of black stone": "#1d1d1f",
    "towers of grey concrete": "#86878a",
    "ploughed brown earth": "#6a4a30",
    "fire": "#c8641a",
    "lava running through black rock": "#8c2a10",
    "a sunset": "#d08454",
    "desert dunes": "#c49c6c",
    "a forest in summer": "#2f4a28",
    "moss on old stones": "#5c7430",
    "the sea": "#2c6488",
    "snow on the roofs of a village": "#dde4ea",
    "starry night": "#0b0e18",
    "lavender field": "#8672b0",
}


def plain(code: str, size: tuple[int, int] = (28, 48)) -> np.ndarray:
    return np.full((*size, 3), [int(code[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)


def test_oklab_of_known_colours_and_back() -> None:
    # from the author of the space: white is (1, 0, 0), pure red (0.628, 0.225, 0.126)
    np.testing.assert_allclose(colours.oklab(np.uint8([255, 255, 255])), (1, 0, 0), atol=1e-3)
    np.testing.assert_allclose(colours.oklab(np.uint8([255, 0, 0])), (0.628, 0.225, 0.126), atol=1e-3)
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(colours.srgb(colours.oklab(picture)), picture)


@pytest.mark.parametrize("name", colours.COLOURS)
def test_a_plain_picture_has_its_name(name: str) -> None:
    found = colours.shares(plain(colours.COLOURS[name]))
    assert found == {name: 1.0}
    assert colours.phrase(found) == name


def test_chromatic_colours_are_named_before_greys_and_specks_are_not() -> None:
    picture = np.concatenate([plain("#808286"), plain(colours.COLOURS["dark blue"]), plain(colours.COLOURS["amber"])])
    picture[:2, :2] = (255, 0, 0)
    assert colours.phrase(colours.shares(picture)) == "amber, dark blue and grey"


def test_captions_keep_only_the_colours_of_their_crop() -> None:
    found = colours.shares(np.concatenate([plain("#14245c"), plain("#f2f2f2")]))
    caption = "blue and white waves below a red cliff, green trees and yellow"
    assert colours.only_shown(caption, found) == "blue and white waves below a cliff, trees"
    assert colours.without_colours("blue white nebula") == "nebula"
    # a colour word within another word stays
    assert colours.without_colours("a tangled redwood") == "a tangled redwood"


def test_rotated_hues_keep_the_lightness() -> None:
    picture = np.concatenate([plain("#7a5233"), plain("#35623c")])
    turned = colours.recoloured(picture, np.random.default_rng(1))
    before, after = colours.oklab(picture), colours.oklab(turned)
    np.testing.assert_allclose(after[..., 0], before[..., 0], atol=0.03)
    angles = [np.degrees(np.arctan2(lab[0, 0, 2], lab[0, 0, 1])) for lab in (before, after)]
    assert abs((angles[1] - angles[0] + 180) % 360 - 180) > 60


def test_forty_prompts_and_their_own_colours_are_right() -> None:
    assert len(fidelity.COLOUR_PROMPTS) == len({asked.prompt for asked in fidelity.COLOUR_PROMPTS}) == 40
    asked = {one.prompt: one for one in fidelity.COLOUR_PROMPTS}
    for prompt, code in KNOWN.items():
        assert fidelity.is_right(asked[prompt], plain(code)), prompt


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("fire", "#6d3cc4"),
        ("crimson smoke over a broken city", "#808080"),
        ("blue ice under a pale sky", "#d8751e"),
        ("snow on the roofs of a village", "#3a3a3c"),
        ("snow on the roofs of a village", "#e8a0a8"),
        ("a gate of black stone", "#e4e2dc"),
        ("a forest in summer", "#2c6488"),
        ("a tower in a dark blue night", "#a5c8e2"),
        ("starry night", "#5c1214"),
    ],
)
def test_pictures_of_other_colours_are_wrong(prompt: str, code: str) -> None:
    (asked,) = [one for one in fidelity.COLOUR_PROMPTS if one.prompt == prompt]
    assert not fidelity.is_right(asked, plain(code))


def test_no_single_colour_is_right_for_half_the_prompts() -> None:
    best = max(
        sum(fidelity.is_right(asked, plain(code)) for asked in fidelity.COLOUR_PROMPTS)
        for code in colours.COLOURS.values()
    )
    assert best <= 14


def test_shares_are_counted_by_prompt() -> None:
    painted = np.zeros((40, 2, 4, 6, 3), np.uint8)
    (snow,) = [i for i, one in enumerate(fidelity.COLOUR_PROMPTS) if one.prompt == "snow on the roofs of a village"]
    painted[snow, 1] = 235
    right = fidelity.judge(painted)
    assert (right["snow on the roofs of a village"], right["fire"], right["a gate of black stone"]) == (0.5, 0.0, 1.0)


def test_edges_of_a_picture_do_not_depend_on_its_light() -> None:
    rng = np.random.default_rng(0)
    fine = rng.integers(40, 120, (40, 60, 1)).repeat(3, 2).astype(np.uint8)
    assert composed.edge_energy(fine * 2) == pytest.approx(composed.edge_energy(fine))
    assert composed.edge_energy(plain("#808080")) == 0
    assert composed.edge_energy(np.kron(fine, np.ones((2, 2, 1), np.uint8))) < 0.7 * composed.edge_energy(fine)


def test_the_share_of_the_paintings_colour() -> None:
    ground, painting = plain("#808080"), plain("#a03030")
    assert composed.painted_share(ground, painting, ground) == pytest.approx(0)
    assert composed.painted_share(painting, painting, ground) == pytest.approx(1)
    between = colours.srgb((colours.oklab(ground) + colours.oklab(painting)) / 2)
    assert composed.painted_share(between, painting, ground) == pytest.approx(0.5, abs=0.05)


def test_a_composed_frame_keeps_edges_and_takes_colour() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 200, (150, 250, 1)).repeat(3, 2).astype(np.uint8)
    figures = composed.judge([plain("#c05030", (112, 192))], [picture])
    assert 0.5 < figures["composed_edges"] < 1.2
    assert 0.3 < figures["composed_colour"] < 1.5
