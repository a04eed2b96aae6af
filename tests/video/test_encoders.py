"""Hardware encoders: the available ones, their options, and messages if they do not open."""

from __future__ import annotations

from pathlib import Path

import pytest

from reactive.errors import OutputError
from reactive.video import nvenc
from reactive.video.codec import CODECS, HARDWARE, container_format, video_codec
from reactive.video.nvenc import check_encoder, encoder_problem, encoders_here


@pytest.mark.parametrize("kind", sorted(HARDWARE))
def test_a_cards_segments_can_be_joined_and_its_streams_are_limited(kind: str) -> None:
    codec = video_codec(kind, crf=20)
    assert codec.name == HARDWARE[kind]
    # without B-frames decoding order equals presentation order
    assert codec.reorder == 0
    assert codec.options["bf"] == "0"
    assert codec.sessions == 8
    assert codec.options != video_codec(kind, crf=30).options
    assert container_format(Path("clip.mp4"), kind) == "mp4"


def test_cpu_encoders_have_no_limit() -> None:
    assert [video_codec(kind).sessions for kind in CODECS if kind not in HARDWARE] == [None] * 3


@pytest.mark.parametrize("kind", sorted(HARDWARE))
def test_an_encoder_that_this_build_lacks_is_reported(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    encoder_problem.cache_clear()
    monkeypatch.setattr(nvenc.av, "codecs_available", {"libx264"})
    with pytest.raises(OutputError, match=rf"not in this build.*--codec {kind}|--codec {kind}.*not in this build"):
        check_encoder(kind)
    check_encoder("h264")
    encoder_problem.cache_clear()


def test_doctor_lists_the_encoders_that_open(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"nvenc": "", "qsv": "", "amf": "no device", "videotoolbox": "not in this build of FFmpeg"}
    monkeypatch.setattr(nvenc, "encoder_problem", found.__getitem__)
    told = encoders_here()
    assert "--codec nvenc and qsv open here too" in told
    assert "AMD's amf (no device)" in told
    monkeypatch.setattr(nvenc, "encoder_problem", lambda kind: "no device")
    assert encoders_here().startswith("x264. Of graphics cards these do not open: NVIDIA's nvenc (no device)")
