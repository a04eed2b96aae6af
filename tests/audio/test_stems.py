"""Stems, MIDI and markers provided by the band."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from reactive import grid_of
from reactive.audio.analysis import Analysis
from reactive.audio.onset import Onsets
from reactive.audio.stems import with_markers, with_midi, with_stem
from reactive.audio.structure import Section
from reactive.errors import GridError, MediaError
from reactive.media.markers import read_cues
from reactive.media.midi import parse_midi, read_midi
from reactive.timeline.evaluate import Scope, evaluate
from reactive.timeline.signals import frame_signals
from tests.toy import clicks, write_song

DURATION = 6.0
TIMES = np.arange(0.5, 5.6, 0.5)


@pytest.fixture
def heard() -> Analysis:
    nothing = Onsets(np.zeros(0), np.zeros(0))
    return Analysis(
        "0" * 64,
        DURATION,
        44_100,
        1,
        0.0,
        np.zeros(0),
        np.zeros(0),
        dict.fromkeys(("all", "low", "mid", "high"), nothing),
        (Section(0, DURATION, "A", 1.0),),
        {
            name: np.linspace(0.1, 1, 517, dtype=np.float32)
            for name in ("rms", "low", "mid", "high", "centroid", "flux")
        },
        np.ones(100),
        False,
    )


def test_a_stem_replaces_the_estimate_and_gives_signals(tmp_path: Path, heard: Analysis) -> None:
    kick = write_song(tmp_path / "kick.wav", clicks(TIMES, seconds=DURATION))
    full, told = with_stem(heard, "kick", kick)
    assert told == "kick.wav: kick comes from this stem."
    assert full.onsets["kick"].times == pytest.approx(TIMES, abs=0.01)
    signals = frame_signals(full, grid_of(full), frames=144, fps=Fraction(24))
    assert np.flatnonzero(signals["kick"]).tolist() == np.floor(TIMES * 24 + 0.5).astype(int).tolist()
    scope = Scope(signals, np.zeros(144), Fraction(24))
    assert evaluate("stem.kick.hit", scope).max() > 0
    assert evaluate("stem.kick", scope).max() == 1
    # the same preset also works for a song without that stem
    assert not evaluate("stem.vocals + midi.3", scope).any()


def test_names_of_stems_are_checked(tmp_path: Path, heard: Analysis) -> None:
    with pytest.raises(GridError):
        with_stem(heard, "no way", tmp_path / "x.wav")
    with pytest.raises(MediaError):
        with_stem(heard, "voice", tmp_path / "missing.wav")


def midi_file(path: Path) -> Path:
    mido = pytest.importorskip("mido")
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)])
    track.append(mido.MetaMessage("time_signature", numerator=3, denominator=4))
    track.append(mido.MetaMessage("marker", text="verse"))
    for number in range(10):
        pitch = 36 if number % 2 == 0 else 38
        track.append(mido.Message("note_on", channel=9, note=pitch, velocity=64, time=0))
        track.append(mido.Message("note_off", channel=9, note=pitch, time=480))
        if number == 5:
            track.append(mido.MetaMessage("marker", text="chorus"))
    track.append(mido.Message("note_on", channel=2, note=60, velocity=127, time=0))
    mido.MidiFile(ticks_per_beat=480, tracks=[track]).save(path)
    return path


def test_midi_becomes_roles_and_its_markers_sections(tmp_path: Path, heard: Analysis) -> None:
    path = midi_file(tmp_path / "drums.mid")
    full, told = with_midi(heard, path)
    assert told == "drums.mid: kick and snare come from its notes on channel 10; hat stays as it was heard."
    assert full.onsets.get("hat") is heard.onsets.get("hat")
    assert full.onsets["kick"].times == pytest.approx(np.arange(5) * 1.0)
    assert full.onsets["snare"].times == pytest.approx(np.arange(5) + 0.5)
    assert full.onsets["midi.3"].times == pytest.approx([5.0])
    marked = with_markers(full, path)
    assert [(s.label, s.start, s.end) for s in marked.sections] == [("verse", 0.0, 3.0), ("chorus", 3.0, DURATION)]
    assert marked.sections[1].energy > marked.sections[0].energy


def test_the_grid_of_a_midi_file(tmp_path: Path) -> None:
    known = read_midi(midi_file(tmp_path / "drums.mid"))
    assert known.beats == pytest.approx(np.arange(11) * 0.5)
    assert known.downbeats == pytest.approx([0.0, 1.5, 3.0, 4.5])
    assert set(known.beats_per_bar) == {3}


@pytest.mark.parametrize(
    "data", [b"", b"MThd", b"RIFF1234WAVE", b"MThd\0\0\0\6\0\1\0\1\0\0MTrk\xff\xff\xff\xff", bytes(range(256))]
)
def test_a_file_that_is_not_midi_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        parse_midi(data)


def events(*parts: bytes, division: int = 480) -> bytes:
    """Return a MIDI file with one track for each part, without end events."""
    tracks = [part + b"\x00\xff\x2f\x00" for part in parts]
    head = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), division)
    return head + b"".join(b"MTrk" + struct.pack(">I", len(track)) + track for track in tracks)


def named(name: str | bytes, *pitches: int, channel: int = 0) -> bytes:
    text = name.encode() if isinstance(name, str) else name
    # each note lasts 60 ticks, and the next one starts 480 ticks after it
    notes = b"".join(
        bytes([0, 0x90 | channel, p, 100, 60, 0x80 | channel, p, 0, 0x83, 0x24, 0xB0 | channel, 1, 0]) for p in pitches
    )
    return b"\x00\xff\x03" + bytes([len(text)]) + text + notes


def test_unusual_events_do_not_make_the_file_unreadable() -> None:
    odd = (
        b"\x00\xff\x59\x02\x09\x00"  # nine sharps
        b"\x00\xff\x58\x03\x03\x02\x18"  # a time signature of three bytes
        b"\x00\xff\x54\x00\x00\xf0\x02\x01\xf7"  # an empty SMPTE offset, and system data
        b"\x00\xff\x06\x05" + "café".encode() + b"\x00\xff\x06\x04" + "café".encode("cp1252")
    )
    read = parse_midi(events(odd + named("x", 36, 38)))
    assert read.notes[:, :2].tolist() == [[0.0, 36.0], [0.5, 38.0]]
    assert read.markers == ((0.0, "café"), (0.0, "café"))
    assert set(read.beats_per_bar) == {3}
    assert not read.cut


def test_smpte_time_rmi_and_truncated_files() -> None:
    plain = events(named("x", 36, 38))
    film = parse_midi(events(named("x", 36, 38), division=0xE728))
    # 25 frames of 40 ticks a second
    assert film.notes[:, 0] == pytest.approx([0.0, 0.48])
    inside = b"RIFF" + struct.pack("<I", len(plain) + 12) + b"RMIDdata" + struct.pack("<I", len(plain)) + plain
    assert parse_midi(inside).notes[:, 0] == pytest.approx([0.0, 0.5])
    cut = parse_midi(plain[:-12])
    assert cut.cut
    assert len(cut.notes) == 2


@pytest.mark.parametrize(
    ("tracks", "roles", "word"),
    [
        ((named("Drum Rack", 36, 42, 38),), {"kick": 1, "snare": 1, "hat": 1}, 'the track "Drum Rack"'),
        ((named("Kick", 60, 60), named("Снэр", 38), named("Bass", 36, 40)), {"kick": 2, "snare": 1}, '"Kick"'),
        ((named("Bass", 36, 38),), {}, "no drums were found on channel 10"),
        ((named("x", 36, channel=9), named("Drums", 38)), {"kick": 1}, "channel 10"),
    ],
)
def test_drums_are_found_where_programs_put_them(
    tmp_path: Path, heard: Analysis, tracks: tuple[bytes, ...], roles: dict[str, int], word: str
) -> None:
    (tmp_path / "d.mid").write_bytes(events(*tracks))
    full, told = with_midi(heard, tmp_path / "d.mid")
    assert {
        r: len(full.onsets[r].times) for r in ("kick", "snare", "hat") if full.onsets.get(r) is not heard.onsets.get(r)
    } == roles
    assert word in told


def wav_with_cues(path: Path, cues: dict[int, str]) -> Path:
    write_song(path, np.zeros(round(DURATION * 44_100), np.float32))
    points = b"".join(struct.pack("<II4sIII", key, at, b"data", 0, 0, at) for key, at in enumerate(cues, start=1))
    labels = b""
    for key, text in enumerate(cues.values(), start=1):
        body = struct.pack("<I", key) + text.encode() + b"\0"
        labels += b"labl" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    chunks = b"cue " + struct.pack("<II", 4 + len(points), len(cues)) + points
    chunks += b"LIST" + struct.pack("<I", 4 + len(labels)) + b"adtl" + labels
    data = path.read_bytes() + chunks
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    return path


def test_cue_points_of_a_wav_become_sections(tmp_path: Path, heard: Analysis) -> None:
    path = wav_with_cues(tmp_path / "song.wav", {88_200: "drop", 44_100: "intro!"})
    assert read_cues(path) == ((1.0, "intro!"), (2.0, "drop"))
    (tmp_path / "tagged.wav").write_bytes(b"ID3\x04\0\0\0\0\0\x14" + bytes(20) + path.read_bytes())
    assert read_cues(tmp_path / "tagged.wav") == read_cues(path)
    marked = with_markers(heard, path)
    assert [(s.label, s.start) for s in marked.sections] == [("-", 0.0), ("intro!", 1.0), ("drop", 2.0)]


def test_markers_of_an_rf64_file(tmp_path: Path, heard: Analysis) -> None:
    plain = wav_with_cues(tmp_path / "song.wav", {88_200: "Verse", 44_100: "Čau"}).read_bytes()
    at = plain.index(b"data") + 4
    size = struct.unpack_from("<I", plain, at)[0]
    long = b"ds64" + struct.pack("<IQQQI", 28, len(plain), size, size // 2, 0)
    far = b"RF64\xff\xff\xff\xffWAVE" + long + plain[12:at] + b"\xff\xff\xff\xff" + plain[at + 4 :]
    # the content decides, not the name
    (tmp_path / "song.mid").write_bytes(far)
    assert read_cues(tmp_path / "song.mid") == ((1.0, "Čau"), (2.0, "Verse"))
    assert [s.label for s in with_markers(heard, tmp_path / "song.mid").sections] == ["-", "Čau", "Verse"]


@pytest.mark.parametrize("encoding", ["utf-8", "mac_roman"])
def test_markers_of_an_aiff(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "song.aiff"
    soundfile.write(path, np.zeros(4 * 44_100), 44_100, format="AIFF")
    body = b""
    for number, (sample, text) in enumerate([(0, "Réfrain"), (88_200, "Drop!")], 1):
        letters = text.encode(encoding)
        body += struct.pack(">HIB", number, sample, len(letters)) + letters + b"\0" * ((len(letters) + 1) % 2)
    data = path.read_bytes() + b"MARK" + struct.pack(">IH", 2 + len(body), 2) + body
    path.write_bytes(data)
    assert read_cues(path) == ((0.0, "Réfrain"), (2.0, "Drop!"))


def test_a_midi_track_without_a_length_is_read(tmp_path: Path) -> None:
    events = b"\x00\x99\x24\x64" + b"\x60\x99\x26\x64" + b"\x00\xff\x2f\x00"
    path = tmp_path / "song.mid"
    path.write_bytes(b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk" + bytes(4) + events)
    assert read_midi(path).notes[:, 0].tolist() == [0.0, 0.5]


def test_without_markers_there_is_an_error(tmp_path: Path, heard: Analysis) -> None:
    path = write_song(tmp_path / "song.wav", np.zeros(44_100, np.float32))
    with pytest.raises(GridError):
        with_markers(heard, path)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF\0\0\0\0WAVEcue \x04\0\0\0\xff\xff\xff\xff")
    with pytest.raises(MediaError):
        read_cues(broken)
    with pytest.raises(GridError):
        with_markers(replace(heard, duration=0.5), wav_with_cues(tmp_path / "late.wav", {44_100: "late"}))
