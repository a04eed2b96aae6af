"""The pass that limits flashes in finished segments, and a run with flashes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from reactive import Settings, make_clip, score_flashes
from reactive.media.video import rgb_frames
from reactive.render.flashsafe import limit_pieces
from reactive.score.flash import count_flashes
from reactive.video.codec import video_codec
from reactive.video.segment import SegmentEncoder
from tests.toy import beat_song, write_song

FPS = Fraction(24)
SIZE = (160, 90)


def write_piece(path: Path, pictures: list[np.ndarray], kind: str = "h264") -> tuple[Path, int]:
    with SegmentEncoder(path, size=SIZE, fps=FPS, codec=video_codec(kind)) as encoder:
        for picture in pictures:
            encoder.write(picture)
    return path, len(pictures)


def flat(value: int | tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(value, np.uint8), (SIZE[1], SIZE[0], 3)).copy()


@pytest.mark.parametrize("colour", [(220, 220, 220), (255, 0, 0)])
def test_only_segments_that_flash_are_limited(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    calm = [flat((20, 90, 40))] * 24
    wild = [flat(colour if (k // 2) % 2 else (10, 10, 40)) for k in range(48)]
    pieces = [write_piece(tmp_path / f"{i}.mkv", part) for i, part in enumerate([calm, wild[:24], wild[24:], calm * 2])]
    before = [path.read_bytes() for path, _ in pieces]
    safe, held = limit_pieces(pieces, fps=FPS, size=SIZE, codec=video_codec("h264"))
    assert held > 10
    assert [frames for _, frames in safe] == [24, 24, 24, 48]
    assert safe[0] == pieces[0]
    assert safe[1] != pieces[1]
    assert safe[2] != pieces[2]
    assert [path.read_bytes() for path, _ in pieces] == before

    def joined(parts: list[tuple[Path, int]]) -> list[np.ndarray]:
        return [picture for path, _ in parts for picture, _ in rgb_frames(path, size=(96, 54))]

    assert not count_flashes(joined(pieces), FPS).passes
    assert count_flashes(joined(safe), FPS).passes
    # repeating it gives exactly the same pictures
    shown = joined(safe)
    again, _ = limit_pieces(pieces, fps=FPS, size=SIZE, codec=video_codec("h264"))
    assert np.array_equal(joined(again), shown)


def test_the_pass_keeps_colours(tmp_path: Path) -> None:
    wanted = flat((200, 60, 120))
    pieces = [write_piece(tmp_path / "a.mkv", [flat((k % 2) * 255) for k in range(24)] + [wanted] * 48)]
    safe, _ = limit_pieces(pieces, fps=FPS, size=SIZE, codec=video_codec("h264"))
    last = [picture for picture, _ in rgb_frames(safe[0][0])][-1]
    assert np.abs(last.astype(int) - wanted).max() <= 4


def test_a_run_warns_of_flashes_and_limits_them(
    tmp_path: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = write_song(tmp_path / "song.wav", beat_song(3))
    (tmp_path / "one.toml").write_text(
        'version = 1\ntitle = "One"\n[[phase]]\nname = "one"\nprompts = ["a sea"]\n', encoding="utf-8"
    )

    def strobe(core, scene, runs):
        for frames in runs:
            white = torch.from_numpy((frames // 2) % 2 * 255).to(torch.uint8)
            yield frames, white[:, None, None, None].expand(-1, 3, 64, 64)

    monkeypatch.setattr("reactive.diffusion.imaginer.independent_frames", strobe)
    options = {
        "preset": str(tmp_path / "one.toml"),
        "model": str(toy_model),
        "steps": 1,
        "device": "cpu",
        "threads": 2,
        "size": (64, 64),
        "duration": 2.0,
    }
    wild = make_clip(song, tmp_path / "wild.mp4", Settings.of(**options))
    safe = make_clip(song, tmp_path / "safe.mp4", Settings.of(**options, flash_safe=True))
    assert wild.held_back == 0
    assert not wild.flashes.passes
    assert safe.held_back > 0
    assert safe.flashes.passes
    # checked from stored measurements, and from the segments that were encoded again
    assert score_flashes(wild.output) == wild.flashes
    assert score_flashes(safe.output) == safe.flashes
    assert safe.frames == wild.frames == 48
