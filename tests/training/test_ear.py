"""What the rhythm network learns from: the truth of made music, and weights that go on from narrower ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reactive.audio.train.accompany import accompany, available
from reactive.audio.train.compose import DRUMS, STYLES, compose

from reactive.audio.network import INPUTS
from reactive.media.midi import parse_midi


def test_composed_beats_are_counted_in_bars_of_their_metre() -> None:
    styles = set()
    for seed in range(40):
        piece = compose(np.random.default_rng(seed), 12.0)
        styles.add(piece.style)
        assert np.all(np.diff(piece.beats) > 0.2)
        ones = np.searchsorted(piece.beats, piece.downbeats - 1e-6)
        assert np.all(np.diff(ones) == piece.metre.beats)
        assert all(0 <= note[2] <= 127 and 1 <= note[3] <= 127 for note in piece.notes)
    assert len(styles & set(STYLES)) > 5


def test_drums_of_a_groove_lie_on_its_grid() -> None:
    shares = []
    for seed in range(12):
        piece = compose(np.random.default_rng(seed), 12.0)
        struck = np.array([note[0] for note in piece.notes if note[4] == DRUMS])
        if len(struck) > 20:
            near = np.abs(struck[:, None] - piece.beats[None]).min(axis=1) < 0.03
            shares.append(near.mean())
    assert len(shares) > 5
    assert np.mean(shares) > 0.3


@pytest.mark.skipif(not available(), reason="MMA is not installed")
def test_a_style_of_mma_keeps_the_time_that_is_told() -> None:
    pytest.importorskip("mido")
    piece = accompany(np.random.default_rng(4), 10.0)
    written = parse_midi(piece.midi)
    assert piece.beats[: len(written.beats)] == pytest.approx(written.beats[: len(piece.beats)], abs=0.002)
    assert piece.beats[-1] > 9.0
    assert len(written.notes) > 20


def test_a_widened_network_computes_what_the_narrower_one_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from reactive.audio.train import fit

    given = torch.rand(1, INPUTS, 60, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(fit, "CHANNELS", 6)
    torch.manual_seed(0)
    narrow = fit.Network().eval()
    fit.keep(narrow.state_dict(), tmp_path / "narrow.safetensors")
    monkeypatch.setattr(fit, "CHANNELS", 9)
    wide = fit.Network().eval()
    wide.load_state_dict(fit.restored(tmp_path / "narrow.safetensors"))
    with torch.no_grad():
        # what differs is the half precision of the file
        assert torch.allclose(wide(given), narrow(given), atol=5e-3)
    with torch.no_grad():
        wide.layers["block4"].weight[:6, :6] += 1
        assert not torch.allclose(wide(given), narrow(given), atol=5e-3)
